//! `terrace shield` before an upstream whose every byte the test decides.

mod shield {
    mod cache;
    mod drain;
    mod fields;
    mod interim;
    mod limits;
    mod purge;
    mod refusals;
    mod start;
    mod tunnel;
    mod upstream;
}
