//! A parsed schema as a flat list of kinds: references are numbers, so that recursive types need no special
//! care.
//!
//! Made of `apache_avro`'s schema, which checks the text; called by the reader and the writer.

use std::collections::HashMap;

use anyhow::{Context as _, bail};
use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, NamespaceRef, UuidSchema};
use apache_avro::writer::datum::GenericDatumWriter;

use crate::format::instant::TimestampUnit;

/// The number of a kind in its [`Kinds`].
pub type KindId = usize;

/// What values look like.
#[derive(Clone, Debug)]
pub enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Array(KindId),
    Map(KindId),
    Union(Vec<KindId>),
    Record(Vec<RecordField>),
    Enum(Vec<String>),
    Fixed(usize),
    Decimal {
        precision: usize,
        scale: usize,
        /// The length of its bytes, if they are fixed.
        fixed: Option<usize>,
    },
    UuidText,
    /// Sixteen bytes, with a length in front or without.
    UuidBytes {
        prefixed: bool,
    },
    Date,
    /// `int` for milliseconds, `long` for microseconds: the same bytes.
    Time(TimestampUnit),
    Timestamp(TimestampUnit),
    /// Months, days and milliseconds, 32 bits each, little end first.
    Duration,
}

/// A field of a record.
#[derive(Clone, Debug)]
pub struct RecordField {
    pub name: String,
    pub kind: KindId,
    /// What a writer without a value for it writes.
    pub default: Option<Default>,
}

/// A field's default, in the binary form of its type; or why it has none.
pub type Default = Result<Vec<u8>, String>;

/// So many digits may stand behind the point. No column has more than 38, and each message would have all of them.
const SCALE_MAX: usize = 1000;

/// All kinds of a schema.
#[derive(Clone, Debug)]
pub struct Kinds {
    kinds: Vec<Kind>,
    root: KindId,
}

impl Kinds {
    /// Parses the text of a schema.
    ///
    /// # Errors
    /// It is no Avro schema, or has a type without a counterpart here.
    pub fn parse(schema: &str) -> anyhow::Result<Self> {
        let schema = Schema::parse_str(schema).context("not a valid Avro schema")?;
        let mut builder = Builder {
            kinds: Vec::new(),
            named: HashMap::new(),
        };
        let root = builder.add(&schema, None)?;
        let kinds: Option<Vec<Kind>> = builder.kinds.into_iter().collect();
        let kinds = kinds.expect("every kind is filled in when its schema has been walked");
        Ok(Self { kinds, root })
    }

    pub fn get(&self, id: KindId) -> &Kind {
        &self.kinds[id]
    }

    pub fn root(&self) -> KindId {
        self.root
    }

    /// Returns the type in Avro's words, for messages.
    pub fn shown(&self, id: KindId) -> String {
        let unit = |unit: TimestampUnit| match unit {
            TimestampUnit::Nanosecond => "nanos",
            TimestampUnit::Microsecond => "micros",
            TimestampUnit::Second | TimestampUnit::Millisecond => "millis",
        };
        match self.get(id) {
            Kind::Null => "null".to_owned(),
            Kind::Boolean => "boolean".to_owned(),
            Kind::Int => "int".to_owned(),
            Kind::Long => "long".to_owned(),
            Kind::Float => "float".to_owned(),
            Kind::Double => "double".to_owned(),
            Kind::Bytes => "bytes".to_owned(),
            Kind::Text => "string".to_owned(),
            Kind::Array(items) => format!("array of {}", self.shown(*items)),
            Kind::Map(values) => format!("map of {}", self.shown(*values)),
            Kind::Union(branches) => {
                let names: Vec<String> =
                    branches.iter().map(|branch| self.shown(*branch)).collect();
                format!("[{}]", names.join(", "))
            }
            // Not its fields: a record may hold itself.
            Kind::Record(_) => "record".to_owned(),
            Kind::Enum(_) => "enum".to_owned(),
            Kind::Fixed(size) => format!("fixed({size})"),
            Kind::Decimal {
                precision, scale, ..
            } => format!("decimal({precision},{scale})"),
            Kind::UuidText | Kind::UuidBytes { .. } => "uuid".to_owned(),
            Kind::Date => "date".to_owned(),
            Kind::Time(of) => format!("time-{}", unit(*of)),
            Kind::Timestamp(of) => format!("timestamp-{}", unit(*of)),
            Kind::Duration => "duration".to_owned(),
        }
    }
}

struct Builder {
    /// `None` for a record whose fields are being walked.
    kinds: Vec<Option<Kind>>,
    named: HashMap<Name, KindId>,
}

impl Builder {
    fn push(&mut self, kind: Option<Kind>) -> KindId {
        self.kinds.push(kind);
        self.kinds.len() - 1
    }

    fn add(&mut self, schema: &Schema, namespace: NamespaceRef<'_>) -> anyhow::Result<KindId> {
        if let Schema::Ref { name } = schema {
            let full = name.fully_qualified_name(namespace);
            let known = self.named.get(full.as_ref());
            return known
                .copied()
                .with_context(|| format!("type `{}` is not defined", full.fullname(None)));
        }
        if let Schema::Record(record) = schema {
            let full = record.name.fully_qualified_name(namespace).into_owned();
            let id = self.push(None);
            self.named.insert(full.clone(), id);
            let mut fields = Vec::with_capacity(record.fields.len());
            for field in &record.fields {
                let kind = self.add(&field.schema, full.namespace())?;
                let default = field
                    .default
                    .as_ref()
                    .map(|json| default_of(json, &field.schema));
                fields.push(RecordField {
                    name: field.name.clone(),
                    kind,
                    default,
                });
            }
            self.kinds[id] = Some(Kind::Record(fields));
            return Ok(id);
        }
        let kind = self.plain(schema, namespace)?;
        let id = self.push(Some(kind));
        if let Some(name) = schema.name() {
            let full = name.fully_qualified_name(namespace).into_owned();
            self.named.insert(full, id);
        }
        Ok(id)
    }

    fn plain(&mut self, schema: &Schema, namespace: NamespaceRef<'_>) -> anyhow::Result<Kind> {
        use TimestampUnit::{Microsecond, Millisecond, Nanosecond};
        Ok(match schema {
            Schema::Null => Kind::Null,
            Schema::Boolean => Kind::Boolean,
            Schema::Int => Kind::Int,
            Schema::Long => Kind::Long,
            Schema::Float => Kind::Float,
            Schema::Double => Kind::Double,
            Schema::Bytes => Kind::Bytes,
            Schema::String => Kind::Text,
            Schema::Array(array) => Kind::Array(self.add(&array.items, namespace)?),
            Schema::Map(map) => Kind::Map(self.add(&map.types, namespace)?),
            Schema::Union(union) => {
                let mut branches = Vec::with_capacity(union.variants().len());
                for branch in union.variants() {
                    branches.push(self.add(branch, namespace)?);
                }
                Kind::Union(branches)
            }
            Schema::Enum(words) => Kind::Enum(words.symbols.clone()),
            Schema::Fixed(fixed) => Kind::Fixed(fixed.size),
            Schema::Decimal(decimal) if decimal.scale > SCALE_MAX => {
                let scale = decimal.scale;
                bail!("a decimal of scale {scale} is not supported: it may be {SCALE_MAX} at most")
            }
            Schema::Decimal(decimal) => Kind::Decimal {
                precision: decimal.precision,
                scale: decimal.scale,
                fixed: match &decimal.inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
                },
            },
            Schema::Uuid(UuidSchema::String) => Kind::UuidText,
            Schema::Uuid(UuidSchema::Bytes) => Kind::UuidBytes { prefixed: true },
            Schema::Uuid(UuidSchema::Fixed(_)) => Kind::UuidBytes { prefixed: false },
            Schema::Date => Kind::Date,
            Schema::TimeMillis => Kind::Time(Millisecond),
            Schema::TimeMicros => Kind::Time(Microsecond),
            Schema::TimestampMillis | Schema::LocalTimestampMillis => Kind::Timestamp(Millisecond),
            Schema::TimestampMicros | Schema::LocalTimestampMicros => Kind::Timestamp(Microsecond),
            Schema::TimestampNanos | Schema::LocalTimestampNanos => Kind::Timestamp(Nanosecond),
            Schema::Duration(_) => Kind::Duration,
            Schema::BigDecimal => bail!("the logical type `big-decimal` is not supported"),
            Schema::Record(_) | Schema::Ref { .. } => {
                unreachable!("records and references are taken by the caller")
            }
        })
    }
}

/// Encodes a default value. Types that refer to named ones defined elsewhere cannot be encoded alone.
fn default_of(json: &serde_json::Value, schema: &Schema) -> Default {
    let encoded = apache_avro::types::Value::try_from(json.clone())
        .and_then(|value| value.resolve(schema))
        .and_then(|value| {
            let writer = GenericDatumWriter::builder(schema).build()?;
            writer.write_value_to_vec(value)
        });
    encoded.map_err(|error| error.to_string())
}
