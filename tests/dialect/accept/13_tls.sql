-- Certificates.
--
-- The system's certificate authorities are trusted, and besides them those of the PEM file that `tls.ca` names,
-- such as a company's own. The path counts from the working directory.

CREATE SOURCE tls_http (a BIGINT)
WITH (connector = 'http', url = 'https://api.example.com/rows', interval = '1m', tls.ca = 'tests/dialect/accept/ca.pem');

CREATE SOURCE tls_ws (a BIGINT)
WITH (connector = 'ws', url = 'wss://stream.example.com/rows', tls.ca = 'tests/dialect/accept/ca.pem');
