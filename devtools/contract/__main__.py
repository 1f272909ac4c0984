"""`make contract`: write the files that are generated from the code."""

from devtools.contract.files import outdated


def main() -> None:
    """Write each outdated file, and print its name."""
    for file, content in outdated().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        print(f"{file} is written.")


if __name__ == "__main__":
    main()
