"""The contract with platforms, generated from the code: `make contract` writes docs/contract/ and docs/platform.md."""
