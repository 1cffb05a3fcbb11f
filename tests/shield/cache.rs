//! What is stored and answered from the store.
