"""An independent client for the tests: reads and writes topics with Confluent's own library.

    peer.py topic SERVER NAME PARTITIONS [CONFIG=VALUE …]
    peer.py partitions SERVER NAME PARTITIONS       # raise the number of partitions
    peer.py truncate SERVER NAME PARTITION OFFSET   # delete what is before the offset
    peer.py consume SERVER NAME COUNT [REGISTRY]    # one JSON object a message, on stdout; COUNT may be `all`
    peer.py produce SERVER NAME                     # one JSON object a line, from stdin: {key, value, partition,
                                                    # timestamp, headers: [[name, text], …]}, or key_hex
    peer.py join SERVER NAME GROUP                  # be a member of a group until stdin ends
    peer.py avro SERVER NAME REGISTRY SCHEMA_FILE   # one JSON value a line, from stdin
    peer.py committed SERVER NAME GROUP

Decimals, bytes and instants of Avro values are printed as their text.
"""

import json
import sys
import threading
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

# Seconds after which a test is better off with an error than with more patience.
PATIENCE = 60


def topic(server, name, partitions, *config):
    admin = AdminClient({"bootstrap.servers": server})
    new = NewTopic(name, int(partitions), 1, config=dict(pair.split("=") for pair in config))
    admin.create_topics([new])[name].result(PATIENCE)


def partitions(server, name, count):
    admin = AdminClient({"bootstrap.servers": server})
    admin.create_partitions([NewPartitions(name, int(count))])[name].result(PATIENCE)


def truncate(server, name, partition, offset):
    admin = AdminClient({"bootstrap.servers": server})
    before = TopicPartition(name, int(partition), int(offset))
    admin.delete_records([before])[before].result(PATIENCE)


def shown(value):
    return value.hex() if isinstance(value, bytes) else str(value)


def consume(server, name, count, registry=None):
    consumer = Consumer({
        "bootstrap.servers": server, "group.id": f"peer-{time.time()}",
        "auto.offset.reset": "earliest", "enable.auto.commit": False,
    })
    decode = AvroDeserializer(SchemaRegistryClient({"url": registry})) if registry else None
    if count == "all":
        partitions = consumer.list_topics(name, PATIENCE).topics[name].partitions
        bounds = [consumer.get_watermark_offsets(TopicPartition(name, number), PATIENCE) for number in partitions]
        count = sum(high - low for low, high in bounds)
    consumer.subscribe([name])
    end = time.time() + PATIENCE
    seen = 0
    while seen < int(count):
        if time.time() > end:
            sys.exit(f"{seen} of {count} messages after {PATIENCE} s")
        message = consumer.poll(1)
        if message is None or message.error():
            continue
        seen += 1
        value = message.value()
        if decode and value is not None:
            value = decode(value, SerializationContext(name, MessageField.VALUE))
        elif value is not None:
            value = value.decode()
        print(json.dumps({
            "key": message.key().decode() if message.key() is not None else None,
            "value": value,
            "headers": {key: text.decode() for key, text in message.headers() or []},
            "partition": message.partition(), "offset": message.offset(),
        }, default=shown))
    consumer.close()


def produce(server, name):
    producer = Producer({"bootstrap.servers": server, "linger.ms": 5, "enable.idempotence": True})
    for line in sys.stdin:
        record = json.loads(line)
        names = ("key", "partition", "timestamp", "headers")
        options = {name: record[name] for name in names if record.get(name) is not None}
        if "key_hex" in record:
            options["key"] = bytes.fromhex(record["key_hex"])
        if "headers" in options:
            options["headers"] = [tuple(header) for header in options["headers"]]
        producer.produce(name, value=record.get("value"), **options)
        producer.poll(0)
    if producer.flush(PATIENCE):
        sys.exit("not everything was delivered")


def join(server, name, group):
    consumer = Consumer({"bootstrap.servers": server, "group.id": group, "auto.offset.reset": "earliest"})
    assigned = []
    consumer.subscribe([name], on_assign=lambda _, partitions: assigned.extend(partitions))
    # Whoever waits for the line knows that the group has a member; it stays while its stdin is open.
    while not assigned:
        consumer.poll(0.1)
    print(json.dumps({"partitions": len(assigned)}), flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        consumer.poll(0.1)
    consumer.close()


def avro(server, name, registry, schema_file):
    with open(schema_file) as file:
        encode = AvroSerializer(SchemaRegistryClient({"url": registry}), file.read())
    producer = Producer({"bootstrap.servers": server})
    for line in sys.stdin:
        value = encode(json.loads(line), SerializationContext(name, MessageField.VALUE))
        producer.produce(name, value=value)
    if producer.flush(PATIENCE):
        sys.exit("not everything was delivered")


def committed(server, name, group):
    admin = AdminClient({"bootstrap.servers": server})
    request = [ConsumerGroupTopicPartitions(group)]
    found = admin.list_consumer_group_offsets(request)[group].result(PATIENCE)
    offsets = {one.partition: one.offset for one in found.topic_partitions if one.topic == name}
    print(json.dumps(offsets))


{f.__name__: f for f in (topic, partitions, truncate, consume, produce, join, avro, committed)}[sys.argv[1]](*sys.argv[2:])
