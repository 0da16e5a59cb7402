//! Rules on made windows: each one alone, several together, and whatever chance makes.

mod chance;
mod each;
mod situation;
mod together;
