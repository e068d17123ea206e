//! Random queries of every class that a view may be of, over random relations, nested in one another.

use super::pipeline::{Relation, View};

/// What a column may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Whole,
    Decimal,
    Float,
    Text,
    Truth,
    Time,
}

/// Something to select from: its text, and the columns it gives.
#[derive(Clone, Debug)]
pub struct Source {
    pub sql: String,
    pub columns: Vec<(String, Type)>,
    /// How many joins have multiplied its rows.
    pub joins: u8,
}

pub struct Maker<'a> {
    random: &'a mut fastrand::Rng,
    sources: Vec<Source>,
}

/// A join reads rows that have been multiplied so often at most: the keys are few, and rows soon are millions.
const JOINS_MAX: u8 = 1;

/// Queries are nested so deep at most.
const DEPTH_MAX: u8 = 2;

impl<'a> Maker<'a> {
    pub fn new(random: &'a mut fastrand::Rng, relations: &[Relation]) -> Self {
        let type_of = |name: &str| match name {
            "BIGINT" | "INTEGER" | "SMALLINT" => Type::Whole,
            "DOUBLE" => Type::Float,
            "VARCHAR" => Type::Text,
            "BOOLEAN" => Type::Truth,
            "TIMESTAMP" => Type::Time,
            _ => Type::Decimal,
        };
        let columns: Vec<(String, Type)> = Relation::columns()
            .map(|(name, sql_type)| ((*name).to_owned(), type_of(sql_type)))
            .collect();
        let sources = relations.iter().map(|relation| Source {
            sql: relation.name.clone(),
            columns: columns.clone(),
            joins: 0,
        });
        Self {
            sources: sources.collect(),
            random,
        }
    }

    /// Makes some views, each of which may read those before it.
    pub fn views(&mut self) -> Vec<View> {
        let mut views = Vec::new();
        for index in 0..self.random.usize(2..5) {
            let source = self.query(0);
            let view = View {
                name: format!("v{index}"),
                query: source.sql,
                materialized: self.random.u8(..4) > 0,
            };
            self.sources.push(Source {
                sql: view.name.clone(),
                columns: source.columns,
                joins: source.joins,
            });
            views.push(view);
        }
        views
    }

    fn one_in(&mut self, count: u8) -> bool {
        self.random.u8(..count) == 0
    }

    fn source(&mut self, depth: u8) -> Source {
        if depth < DEPTH_MAX && self.one_in(4) {
            let query = self.query(depth + 1);
            return Source {
                sql: format!("({})", query.sql),
                columns: query.columns,
                joins: query.joins,
            };
        }
        let index = self.random.usize(..self.sources.len());
        self.sources[index].clone()
    }

    fn query(&mut self, depth: u8) -> Source {
        match self.random.u8(..15) {
            0 => self.plain(depth),
            1..4 => self.aggregate(depth),
            4..7 => self.join(depth),
            7 => self.distinct(depth),
            8 => self.set_operation(depth),
            9 => self.top(depth),
            10 => self.window(depth),
            11 | 12 => self.filtered_by_other(depth),
            13 => self.with_cte(depth),
            _ if self.one_in(2) => self.with_scalar(depth),
            _ => self.union_of_more(depth),
        }
    }

    fn column(&mut self, source: &Source, wanted: &[Type]) -> Option<String> {
        let fits = source
            .columns
            .iter()
            .filter(|(_, of)| wanted.is_empty() || wanted.contains(of));
        let fits: Vec<&String> = fits.map(|(name, _)| name).collect();
        if fits.is_empty() {
            return None;
        }
        Some(fits[self.random.usize(..fits.len())].clone())
    }

    /// Returns a filter over the columns of a source with an alias.
    fn filter(&mut self, source: &Source, alias: &str) -> String {
        let Some(column) = self.column(source, &[Type::Whole]) else {
            return "true".to_owned();
        };
        let number = self.random.i64(-3..6);
        match self.random.u8(..6) {
            0 => format!("{alias}.{column} IS NOT NULL"),
            1 => format!("{alias}.{column} <> {number}"),
            2 => format!("coalesce({alias}.{column}, {number}) >= 0"),
            3 => format!("({alias}.{column} > {number} OR {alias}.{column} IS NULL)"),
            4 => format!("{alias}.{column} IN ({number}, 1, 2)"),
            _ => format!("{alias}.{column} > {number}"),
        }
    }

    /// Takes some columns of aliased sources under new names.
    fn selected(&mut self, sources: &[(&str, &Source)]) -> (String, Vec<(String, Type)>) {
        let mut items = Vec::new();
        let mut columns = Vec::new();
        for (alias, source) in sources {
            for (name, of) in &source.columns {
                if columns.len() < 7 && (columns.is_empty() || self.random.u8(..5) < 3) {
                    let new = format!("c{}", columns.len());
                    items.push(match (of, self.random.u8(..6)) {
                        (Type::Whole, 0) => format!("{alias}.{name} % 7 AS {new}"),
                        (Type::Text, 0) => format!("upper({alias}.{name}) AS {new}"),
                        _ => format!("{alias}.{name} AS {new}"),
                    });
                    columns.push((new, *of));
                }
            }
        }
        (items.join(", "), columns)
    }

    fn plain(&mut self, depth: u8) -> Source {
        let source = self.source(depth);
        self.plain_of(&source)
    }

    fn plain_of(&mut self, source: &Source) -> Source {
        let (items, columns) = self.selected(&[("a", source)]);
        let filter = self.filter(source, "a");
        Source {
            sql: format!("SELECT {items} FROM {} AS a WHERE {filter}", source.sql),
            columns,
            joins: source.joins,
        }
    }

    /// A relation, or now and then a join as one.
    fn source_or_join(&mut self, depth: u8) -> Source {
        if !self.one_in(3) {
            return self.source(depth);
        }
        let joined = self.join(depth + 1);
        Source {
            sql: format!("({})", joined.sql),
            ..joined
        }
    }

    fn aggregate(&mut self, depth: u8) -> Source {
        let source = self.source_or_join(depth);
        let mut items = Vec::new();
        let mut columns = Vec::new();
        let mut keys = Vec::new();
        for _ in 0..self.random.usize(..3) {
            if let Some(key) = self.column(&source, &[Type::Whole, Type::Text, Type::Truth])
                && !keys.contains(&key)
            {
                let of = source
                    .columns
                    .iter()
                    .find(|(name, _)| *name == key)
                    .expect("it is one")
                    .1;
                items.push(format!("a.{key} AS c{}", columns.len()));
                columns.push((format!("c{}", columns.len()), of));
                keys.push(key);
            }
        }
        for _ in 0..self.random.usize(1..5) {
            if let Some((call, of)) = self.call(&source) {
                items.push(format!("{call} AS c{}", columns.len()));
                columns.push((format!("c{}", columns.len()), of));
            }
        }
        items.push(format!("count(*) AS c{}", columns.len()));
        columns.push((format!("c{}", columns.len()), Type::Whole));
        let filter = if self.one_in(2) {
            self.filter(&source, "a")
        } else {
            "true".to_owned()
        };
        let mut sql = format!(
            "SELECT {} FROM {} AS a WHERE {filter}",
            items.join(", "),
            source.sql
        );
        if !keys.is_empty() {
            let by_place: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
            let by_name: Vec<String> = keys.iter().map(|key| format!("a.{key}")).collect();
            sql.push_str(&match self.random.u8(..3) {
                0 => format!(" GROUP BY {}", by_place.join(", ")),
                1 => " GROUP BY ALL".to_owned(),
                _ => format!(" GROUP BY {}", by_name.join(", ")),
            });
        }
        if self.one_in(3) {
            let having = match self.column(&source, &[Type::Whole]) {
                Some(column) if self.one_in(2) => format!("max(a.{column}) > 2"),
                Some(column) if self.one_in(2) => format!("sum(a.{column}) IS NOT NULL"),
                _ => "count(*) > 1".to_owned(),
            };
            sql.push_str(&format!(" HAVING {having}"));
        }
        Source {
            sql,
            columns,
            joins: 0,
        }
    }

    /// Returns a call of an aggregate function and the type of its value.
    fn call(&mut self, source: &Source) -> Option<(String, Type)> {
        use Type::{Decimal, Float, Text, Time, Truth, Whole};
        let calls: &[(&str, &[Type], Option<Type>)] = &[
            ("count(a.{x})", &[], Some(Whole)),
            (
                "count(DISTINCT a.{x})",
                &[Whole, Text, Decimal],
                Some(Whole),
            ),
            ("sum(a.{x})::BIGINT", &[Whole], Some(Whole)),
            ("sum(a.{x})", &[Decimal, Float], None),
            ("sum(DISTINCT a.{x})::BIGINT", &[Whole], Some(Whole)),
            ("avg(a.{x})", &[Whole, Decimal, Float], Some(Float)),
            ("min(a.{x})", &[], None),
            ("max(a.{x})", &[], None),
            ("bool_and(a.{x})", &[Truth], Some(Truth)),
            ("bool_or(a.{x})", &[Truth], Some(Truth)),
            ("count_if(a.{x})::BIGINT", &[Truth], Some(Whole)),
            ("stddev(a.{x})", &[Whole, Float], Some(Float)),
            ("var_pop(a.{x})", &[Decimal, Float], Some(Float)),
            ("median(a.{x})::DOUBLE", &[Whole, Float], Some(Float)),
            ("sum(a.{x} * 2)::BIGINT + count(*)", &[Whole], Some(Whole)),
            ("max(a.{x}) - min(a.{x})", &[Whole, Decimal], None),
            ("string_agg(a.{x}, ',' ORDER BY a.{x})", &[Text], Some(Text)),
            ("first(a.{x} ORDER BY a.{x})", &[Time, Whole], None),
            ("last(a.{x} ORDER BY a.n)", &[], None),
            ("first(a.{x} ORDER BY a.n DESC)", &[], None),
            ("mode(a.{x} % 1)", &[Whole], Some(Whole)),
            ("arg_max(a.{x}, a.n)", &[], None),
            ("arg_min(a.{x}, a.n)", &[], None),
        ];
        let (call, wanted, of) = calls[self.random.usize(..calls.len())];
        if call.contains("a.n") && !source.columns.iter().any(|(name, _)| name == "n") {
            return None;
        }
        let column = self.column(source, wanted)?;
        let own = source.columns.iter().find(|(name, _)| *name == column)?.1;
        let mut call = call.replace("{x}", &column);
        if self.one_in(4) && call.ends_with(')') && call.matches('(').count() == 1 {
            call = format!("{call} FILTER (WHERE {})", self.filter(source, "a"));
        }
        Some((call, of.unwrap_or(own)))
    }

    fn join(&mut self, depth: u8) -> Source {
        let (left, right) = (self.source(depth), self.source(depth));
        let kinds = ["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"];
        let kind = kinds[self.random.usize(..kinds.len())];
        let on = self.condition((&left, "a"), (&right, "b"), kind == "FULL JOIN");
        let mut from = format!("{} AS a {kind} {} AS b ON {on}", left.sql, right.sql);
        let mut sources = vec![("a", &left), ("b", &right)];
        let third = self.source(DEPTH_MAX);
        let mut joins = left.joins + right.joins;
        if joins > JOINS_MAX {
            return self.plain_of(&left);
        }
        joins += 1;
        if joins + third.joins <= JOINS_MAX && self.one_in(2) {
            joins += third.joins;
            let kinds = ["JOIN", "LEFT JOIN"];
            let kind = kinds[self.random.usize(..kinds.len())];
            let on = self.condition((&left, "a"), (&third, "c"), false);
            from = format!("{from} {kind} {} AS c ON {on}", third.sql);
            sources.push(("c", &third));
        }
        let (items, columns) = self.selected(&sources);
        let filter = match self.random.u8(..3) {
            0 => format!(" WHERE {}", self.filter(&left, "a")),
            1 => format!(" WHERE {}", self.filter(&right, "b")),
            _ => String::new(),
        };
        Source {
            sql: format!("SELECT {items} FROM {from}{filter}"),
            columns,
            joins,
        }
    }

    /// Returns a condition that holds columns of two sources equal, with more beside it sometimes.
    fn condition(
        &mut self,
        (left, a): (&Source, &str),
        (right, b): (&Source, &str),
        alone: bool,
    ) -> String {
        let of = [[Type::Whole], [Type::Text]][usize::from(self.one_in(4))];
        let whole = [Type::Whole];
        let of = if self.column(left, &of).is_some() && self.column(right, &of).is_some() {
            of
        } else {
            whole
        };
        let (Some(x), Some(y)) = (self.column(left, &of), self.column(right, &of)) else {
            return format!(
                "{a}.{} IS NOT NULL = ({b}.{} IS NOT NULL)",
                left.columns[0].0, right.columns[0].0
            );
        };
        let mut on = format!("{a}.{x} = {b}.{y}");
        if of == whole && self.one_in(4) {
            on = format!("{a}.{x} + 1 = {b}.{y}");
        }
        if !alone && self.one_in(4) {
            on = format!("{on} AND {}", self.filter(right, b));
        }
        on
    }

    fn distinct(&mut self, depth: u8) -> Source {
        let mut source = self.source(depth);
        if self.one_in(3)
            && let Some(key) = self.column(&source, &[Type::Whole, Type::Text])
        {
            let order: Vec<&str> = source
                .columns
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            let sql = format!(
                "SELECT DISTINCT ON ({key}) * FROM {} AS a ORDER BY {key}, {}",
                source.sql,
                order.join(", ")
            );
            return Source {
                sql,
                columns: source.columns,
                joins: 0,
            };
        }
        source
            .columns
            .retain(|(name, _)| name != "n" && name != "id");
        if source.columns.is_empty() {
            return self.plain(depth);
        }
        source.columns.truncate(3);
        let names: Vec<&str> = source
            .columns
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        Source {
            sql: format!(
                "SELECT DISTINCT {} FROM {} AS a",
                names.join(", "),
                source.sql
            ),
            columns: source.columns,
            joins: 0,
        }
    }

    fn set_operation(&mut self, depth: u8) -> Source {
        let (left, right) = (self.source(depth), self.source(depth));
        let (Some(x), Some(y)) = (
            self.column(&left, &[Type::Whole]),
            self.column(&right, &[Type::Whole]),
        ) else {
            return self.plain(depth);
        };
        let kinds = ["UNION ALL", "UNION", "EXCEPT", "INTERSECT"];
        let kind = kinds[self.random.usize(..kinds.len())];
        let (one, other) = (self.filter(&left, "a"), self.filter(&right, "b"));
        Source {
            sql: format!(
                "SELECT a.{x} AS c0 FROM {} AS a WHERE {one} {kind} SELECT b.{y} FROM {} AS b WHERE {other}",
                left.sql, right.sql
            ),
            columns: vec![("c0".to_owned(), Type::Whole)],
            joins: left.joins.max(right.joins),
        }
    }

    fn top(&mut self, depth: u8) -> Source {
        let source = self.source(depth);
        let (items, columns) = self.selected(&[("a", &source)]);
        let direction = ["ASC", "DESC", "DESC NULLS FIRST", "NULLS FIRST"][self.random.usize(..4)];
        let order: Vec<String> = (columns.iter())
            .map(|(name, _)| format!("{name} {direction}"))
            .collect();
        let offset = if self.one_in(3) { " OFFSET 2" } else { "" };
        Source {
            sql: format!(
                "SELECT {items} FROM {} AS a ORDER BY {} LIMIT {}{offset}",
                source.sql,
                order.join(", "),
                self.random.u8(1..6)
            ),
            columns,
            joins: 0,
        }
    }

    fn window(&mut self, depth: u8) -> Source {
        let source = self.source(depth);
        let (items, mut columns) = self.selected(&[("a", &source)]);
        let Some(key) = self.column(&source, &[Type::Whole, Type::Text, Type::Truth]) else {
            return self.plain(depth);
        };
        let order: Vec<String> = source
            .columns
            .iter()
            .map(|(name, _)| format!("a.{name}"))
            .collect();
        let order = order.join(", ");
        let function = match self.random.u8(..5) {
            0 => "row_number()".to_owned(),
            1 => "count(*)".to_owned(),
            2 => format!("lag(a.{key})"),
            3 => "rank()".to_owned(),
            _ => format!("max(a.{key})"),
        };
        let new = format!("c{}", columns.len());
        let of = source
            .columns
            .iter()
            .find(|(name, _)| *name == key)
            .expect("it is one")
            .1;
        let of = if function.contains(&key) {
            of
        } else {
            Type::Whole
        };
        let qualify = if self.one_in(2) {
            format!(" QUALIFY row_number() OVER (PARTITION BY a.{key} ORDER BY {order}) <= 2")
        } else {
            String::new()
        };
        columns.push((new.clone(), of));
        let partition = if self.one_in(12) {
            String::new()
        } else {
            format!("PARTITION BY a.{key} ")
        };
        Source {
            sql: format!(
                "SELECT {items}, {function} OVER ({partition}ORDER BY {order}) AS {new} FROM {} AS a{qualify}",
                source.sql
            ),
            columns,
            joins: source.joins,
        }
    }

    /// Semi and anti joins, and the subqueries that mean the same.
    fn filtered_by_other(&mut self, depth: u8) -> Source {
        let (left, right) = (self.source(depth), self.source(DEPTH_MAX));
        let (items, columns) = self.selected(&[("a", &left)]);
        let on = self.condition((&left, "a"), (&right, "b"), false);
        let (Some(x), Some(y)) = (
            self.column(&left, &[Type::Whole]),
            self.column(&right, &[Type::Whole]),
        ) else {
            return self.plain(depth);
        };
        let (from, other) = (&left.sql, &right.sql);
        let filter = self.filter(&left, "a");
        let sql = match self.random.u8(..6) {
            0 => format!("SELECT {items} FROM {from} AS a SEMI JOIN {other} AS b ON {on}"),
            1 => format!("SELECT {items} FROM {from} AS a ANTI JOIN {other} AS b ON {on}"),
            2 => format!(
                "SELECT {items} FROM {from} AS a WHERE EXISTS (SELECT 1 FROM {other} AS b WHERE {on}) AND {filter}"
            ),
            3 => format!(
                "SELECT {items} FROM {from} AS a WHERE {filter} AND NOT EXISTS (SELECT * FROM {other} AS b WHERE {on})"
            ),
            4 => format!(
                "SELECT {items} FROM {from} AS a WHERE a.{x} IN (SELECT b.{y} FROM {other} AS b)"
            ),
            _ => format!(
                "SELECT {items} FROM {from} AS a WHERE a.{x} IN (SELECT {y} FROM {other} WHERE {y} > 0) AND {filter}"
            ),
        };
        Source {
            sql,
            columns,
            joins: left.joins,
        }
    }

    /// A subquery of one value: of the whole of another relation, or of its rows with a key.
    fn with_scalar(&mut self, depth: u8) -> Source {
        let (left, right) = (self.source(depth), self.source(DEPTH_MAX));
        let (items, mut columns) = self.selected(&[("a", &left)]);
        let (Some(x), Some(y)) = (
            self.column(&left, &[Type::Whole]),
            self.column(&right, &[Type::Whole]),
        ) else {
            return self.plain(depth);
        };
        let (from, other) = (&left.sql, &right.sql);
        let new = format!("c{}", columns.len());
        let sql = match self.random.u8(..3) {
            0 => format!(
                "SELECT {items} FROM {from} AS a WHERE a.{x} >= (SELECT min(b.{y}) + 1 FROM {other} AS b)"
            ),
            kind => {
                columns.push((new.clone(), Type::Whole));
                let key = if kind == 1 {
                    format!(" WHERE b.{y} = a.{x}")
                } else {
                    String::new()
                };
                format!(
                    "SELECT {items}, (SELECT count(*) FROM {other} AS b{key}) AS {new} FROM {from} AS a"
                )
            }
        };
        Source {
            sql,
            columns,
            joins: left.joins,
        }
    }

    /// A union of three, joins among them.
    fn union_of_more(&mut self, depth: u8) -> Source {
        let (mut branches, mut joins) = (Vec::new(), 0);
        for _ in 0..3 {
            let branch = self.source_or_join(depth);
            let Some(column) = self.column(&branch, &[Type::Whole]) else {
                return self.plain(depth);
            };
            let filter = self.filter(&branch, "a");
            joins = joins.max(branch.joins);
            branches.push(format!(
                "SELECT a.{column}::BIGINT AS c0 FROM {} AS a WHERE {filter}",
                branch.sql
            ));
        }
        let kinds = [" UNION ALL ", " UNION ALL ", " UNION "];
        let kind = kinds[self.random.usize(..kinds.len())];
        Source {
            sql: branches.join(kind),
            columns: vec![("c0".to_owned(), Type::Whole)],
            joins,
        }
    }

    /// A CTE that is read twice.
    fn with_cte(&mut self, depth: u8) -> Source {
        let inner = self.query(depth + 1);
        let Some(key) = self.column(&inner, &[Type::Whole]) else {
            return inner;
        };
        if inner.joins > 0 {
            return inner;
        }
        let (items, columns) = self.selected(&[("x", &inner), ("y", &inner)]);
        Source {
            sql: format!(
                "WITH w AS ({}) SELECT {items} FROM w AS x JOIN w AS y ON x.{key} = y.{key}",
                inner.sql
            ),
            columns,
            joins: 1,
        }
    }
}
