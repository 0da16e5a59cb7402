//! The macro that a metric is written down in, once.
//!
//! `metrics!` takes a struct whose doc comments are the titles (first line) and the help (the rest), and
//! makes of it the struct itself (serde names are the field names), `DEFS`, and `visit()`. A metric's id is
//! its path in the snapshot's JSON without the keys that vary from host to host; those are its labels:
//! `network.interfaces.bytes_recv{interface="eth0"}`.
//!
//! It says as well how history is kept: what `as` says, else a counter as it stands and a gauge with the decimals
//! it is reported with. Fields in a `kept` block are not reported at all: they are the counters that reported rates come
//! from, and history has them instead. Fields in a `raw` block are what else the kernel said in the same lines, for
//! exporters of raw counters: neither reported nor kept, and no metrics of their own.
//!
//! At the end of a line, `better lower` or `better higher` says which way is better where that is beyond doubt, and
//! `zones { 0.0 "waiting", 1.0 "computing" }` what values mean.

/// Describes the metrics of one JSON object, once. See the module's documentation.
macro_rules! metrics {
    (
        $(#[doc = $struct_doc:literal])+
        pub struct $name:ident($prefix:literal $(by $object:literal)?) {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $kind:ident($unit:ident) $(by $index:literal)? from $source:literal
                    $(as $how:ident $(($($args:tt)+))?)?
                    $(better $better:ident)?
                    $(zones { $($least:literal $zone:literal),+ })?,
            )+
        }
        $(kept {
            $(
                $(#[doc = $hidden_doc:literal])+
                $hidden:ident: $hidden_type:ty = $hidden_kind:ident($hidden_unit:ident)
                    from $hidden_source:literal,
            )+
        })?
        $(raw {
            $(
                $(#[doc = $raw_doc:literal])+
                $raw:ident: $raw_type:ty,
            )+
        })?
    ) => {
        $(#[doc = $struct_doc])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                pub $field: $type,
            )+
            $($(
                $(#[doc = $hidden_doc])+
                #[serde(skip)]
                pub $hidden: $hidden_type,
            )+)?
            $($(
                $(#[doc = $raw_doc])+
                #[serde(skip)]
                pub $raw: $raw_type,
            )+)?
        }

        impl $name {
            const OBJECT_LABEL: Option<&'static str> = $crate::catalog::metrics!(@optional $($object)?);

            /// The descriptions, in the order of the fields.
            pub const DEFS: &'static [$crate::catalog::MetricDef] = &[
                $($crate::catalog::MetricDef::new(
                    concat!($prefix, ".", stringify!($field)),
                    &[$($doc),+],
                    ($crate::catalog::Kind::$kind, $crate::catalog::Unit::$unit),
                    (Self::OBJECT_LABEL, $crate::catalog::metrics!(@optional $($index)?)),
                    ($source, $crate::catalog::metrics!(@kept $prefix $kind $type $(, $how $($($args)+)?)?)),
                ).judged(
                    $crate::catalog::metrics!(@better $($better)?),
                    &[$($($crate::catalog::Zone { from: $least, name: $zone }),+)?],
                )),+
            ];

            $crate::catalog::metrics!(@visit visit DEFS ($($field)+) $($object)?);

            $(
                /// The descriptions of what is kept and not reported.
                pub const HIDDEN_DEFS: &'static [$crate::catalog::MetricDef] = &[
                    $($crate::catalog::MetricDef::new(
                        concat!($prefix, ".", stringify!($hidden)),
                        &[$($hidden_doc),+],
                        ($crate::catalog::Kind::$hidden_kind, $crate::catalog::Unit::$hidden_unit),
                        (Self::OBJECT_LABEL, None),
                        ($hidden_source, $crate::catalog::metrics!(@kept $prefix $hidden_kind $hidden_type)),
                    )),+
                ];

                $crate::catalog::metrics!(@visit visit_hidden HIDDEN_DEFS ($($hidden)+));
            )?
        }
    };
    (@visit $visit:ident $defs:ident ($($field:ident)+) $object:literal) => {
        /// Shows every value that is not null. `object` is the value of the label that tells objects apart.
        pub fn $visit(&self, object: &str, each: &mut $crate::catalog::Visitor<'_>) {
            let mut defs = Self::$defs.iter();
            $(
                if let Some(def) = defs.next() {
                    $crate::catalog::show_field(def, Some(object), &self.$field, each);
                }
            )+
        }
    };
    (@visit $visit:ident $defs:ident ($($field:ident)+)) => {
        /// Shows every value that is not null.
        pub fn $visit(&self, each: &mut $crate::catalog::Visitor<'_>) {
            let mut defs = Self::$defs.iter();
            $(
                if let Some(def) = defs.next() {
                    $crate::catalog::show_field(def, None, &self.$field, each);
                }
            )+
        }
    };
    (@optional $value:literal) => { Some($value) };
    (@optional) => { None };
    (@better lower) => { Some($crate::catalog::Better::Lower) };
    (@better higher) => { Some($crate::catalog::Better::Higher) };
    (@better) => { None };
    (@kept $prefix:literal $kind:ident $type:ty) => {
        $crate::catalog::Kept::default_of(
            $crate::catalog::Kind::$kind,
            <$type as $crate::catalog::Field>::DECIMALS,
        )
    };
    (@kept $prefix:literal $kind:ident $type:ty, counter32) => { $crate::catalog::Kept::Counter32 };
    (@kept $prefix:literal $kind:ident $type:ty, amount) => {
        $crate::catalog::Kept::Amount { decimals: <$type as $crate::catalog::Field>::DECIMALS }
    };
    (@kept $prefix:literal $kind:ident $type:ty, rate $of:ident) => {
        $crate::catalog::metrics!(@kept $prefix $kind $type, rate $of * 1.0)
    };
    (@kept $prefix:literal $kind:ident $type:ty, rate $of:ident * $scale:literal) => {
        $crate::catalog::Kept::Rate { of: concat!($prefix, ".", stringify!($of)), scale: $scale }
    };
    (@kept $prefix:literal $kind:ident $type:ty, ratio $of:ident / $per:ident) => {
        $crate::catalog::Kept::Ratio {
            of: concat!($prefix, ".", stringify!($of)),
            per: concat!($prefix, ".", stringify!($per)),
        }
    };
}
pub(crate) use metrics;
