"""Write the manual pages in docs/man from what ``--help`` tells, man-pages(7).

Neither click-man nor argparse-manpage does: the first knows nothing of commands that are imported
late, of paragraphs that are to stay as they are, and of epilogs.

    python docs/manpages.py [--check] [DIRECTORY]
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from procnursery.cli.main import cli
from procnursery.daemon.__main__ import make_parser

COMMITTED = Path(__file__).parent / "man"
NAME = "procnursery"

ENVIRONMENT = {
    "PROCNURSERY_HOST": "Address of the daemon where -H names none.",
    "XDG_RUNTIME_DIR": "Its procnursery/procnursery.sock is the socket of a user's own daemon.",
}
FILES = {
    "/run/procnursery/procnursery.sock": "The socket of the machine's daemon.",
    "/etc/procnursery/daemon.toml, $XDG_CONFIG_HOME/procnursery/daemon.toml": (
        "Configuration of the daemon of root and of another user."
    ),
    "/var/lib/procnursery, $XDG_STATE_HOME/procnursery": "What it keeps: ids and output.",
}


# The language of the pages, groff_man(7)


def escape(text: str) -> str:
    """Text that means itself. A hyphen would become a typographic one, useless to copy."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def bold(text: str) -> str:
    """Text to be typed as it is."""
    return f"\\fB{escape(text)}\\fR"


def italic(text: str) -> str:
    """Text to be replaced."""
    return f"\\fI{escape(text)}\\fR"


def section(title: str, *lines: str) -> Iterator[str]:
    """A section, unless it is empty."""
    if lines:
        yield f'.SH "{escape(title.upper())}"'
        yield from lines


def item(term: str, text: str) -> Iterator[str]:
    """A term, formatted already, and what it means."""
    yield from (".TP", term, escape(" ".join(text.split())))


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs; those marked by a line of \\b keep their lines, as in click."""
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.split("\n")
        if lines[0].strip() == "\b":
            yield from (".PP", ".RS 4", ".nf", *map(escape, lines[1:]), ".fi", ".RE")
        else:
            yield from (".PP", escape(" ".join(" ".join(lines).split())))


def page(name: str, number: int, summary: str, *parts: Iterable[str]) -> str:
    """A whole page. It bears neither date nor version, so that it changes only when it does."""
    lines = [
        '.\\" Written by docs/manpages.py from what --help tells; do not edit.',
        f'.TH "{name.upper()}" "{number}" "" "{NAME}" "{NAME}"',
        *section("name", f"{escape(name)} \\- {escape(summary)}"),
        *(line for part in parts for line in part),
    ]
    return "\n".join(lines) + "\n"


def see_also(*pages: str) -> Iterator[str]:
    """The last section."""
    references = (f"{bold(name)}({number})" for name, number in (p.split("(") for p in pages))
    yield from section("see also", ", ".join(references).replace("))", ")"))


# The command


def summary_of(command: click.Command) -> str:
    """Its first sentence, as a name line has it: without full stop."""
    first = " ".join((command.help or "").strip().split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.;:])\s", first)[0].rstrip(".;:")
    return sentence[:1].lower() + sentence[1:]


def value_of(option: click.Option) -> str:
    """What stands behind an option; nothing behind a flag."""
    if option.is_flag or option.count or option.is_eager:
        return ""
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(option.type.choices)
    return option.type.name.split()[0].upper()


def options_of(command: click.Command, context: click.Context) -> Iterator[str]:
    """Every option, with its default if its help is to show one."""
    for option in command.get_params(context):
        if not isinstance(option, click.Option) or option.hidden:
            continue
        names = ", ".join(bold(name) for name in (*option.opts, *option.secondary_opts))
        value = value_of(option)
        text = option.help or ""
        if option.show_default:
            text += f"  [default: {option.default}]"
        yield from item(f"{names} {italic(value)}" if value else names, text)


def synopsis(path: str, command: click.Command) -> str:
    """The form of a command line."""
    parts = [bold(NAME), f"[{bold('-H')} {italic('ADDRESS')}]"]
    if path:
        parts += [bold(path), f"[{italic('OPTION')} ...]"]
    for argument in command.params:
        if isinstance(argument, click.Argument):
            if argument.metavar:  # which says already what is optional and what can be repeated
                parts.append(re.sub(r"[A-Z]+", lambda word: italic(word[0]), argument.metavar))
                continue
            name = italic((argument.name or "").upper()) + " ..." * (argument.nargs == -1)
            parts.append(name if argument.required else f"[{name}]")
    if isinstance(command, click.Group):
        parts += [italic("COMMAND"), f"[{italic('ARGUMENT')} ...]"]
    return " ".join(parts)


def epilog_of(command: click.Command) -> Iterator[str]:
    """Each block of the epilog as a section of its own: its first line is the title."""
    for block in re.split(r"\n\s*\n", (command.epilog or "").strip()):
        lines = block.removeprefix("\b\n").split("\n")
        title, text = lines[0].rstrip(":"), textwrap.dedent("\n".join(lines[1:]))
        if text:
            yield from section(title, *paragraphs(f"\b\n{text}"))


def command_pages() -> Iterator[tuple[str, str]]:
    """(path, text) of the command's page and of one for each of its commands."""
    with click.Context(cli, info_name=NAME, **cli.context_settings) as context:
        commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
        yield (
            f"man1/{NAME}.1",
            page(
                NAME,
                1,
                summary_of(cli),
                section("synopsis", synopsis("", cli)),
                section("description", *paragraphs(cli.help or "")),
                section("options", *options_of(cli, context)),
                section(
                    "commands",
                    *(
                        line
                        for name, command in commands.items()
                        if command is not None and not command.hidden
                        for line in item(f"{bold(f'{NAME}-{name}')}(1)", summary_of(command))
                    ),
                ),
                epilog_of(cli),
                section("environment", *(i for t in ENVIRONMENT.items() for i in of(*t))),
                section("files", *(i for t in FILES.items() for i in of(*t))),
                see_also(*(f"{NAME}-{name}(1)" for name in commands), "procnurseryd(8)"),
            ),
        )
        for name, command in commands.items():
            if command is None or command.hidden:
                continue
            with click.Context(command, info_name=name, parent=context) as inner:
                yield (
                    f"man1/{NAME}-{name}.1",
                    page(
                        f"{NAME}-{name}",
                        1,
                        summary_of(command),
                        section("synopsis", synopsis(name, command)),
                        section("description", *paragraphs(command.help or "")),
                        section("options", *options_of(command, inner)),
                        epilog_of(command),
                        see_also(f"{NAME}(1)", "procnurseryd(8)"),
                    ),
                )


def of(term: str, text: str) -> Iterator[str]:
    """An item whose term is a name."""
    yield from item(bold(term), text)


# The daemon


def daemon_page() -> tuple[str, str]:
    """(path, text)"""
    parser = make_parser()
    options: list[str] = []
    for action in parser._actions:  # argparse has no public way to them
        if action.help == argparse.SUPPRESS:
            continue
        assert "%(" not in (action.help or ""), f"{action.option_strings}: not expanded here"
        names = ", ".join(bold(name) for name in action.option_strings)
        options += item(f"{names} {_value(action)}".rstrip(), action.help or "")
    *more, last = (parser.epilog or "").strip().split("\n\n")
    title, _, status = last.partition(": ")
    text = "\n\n".join([parser.description or "", *more])
    return (
        "man8/procnurseryd.8",
        page(
            parser.prog,
            8,
            "executes processes for remote controllers",
            section("synopsis", f"{bold(parser.prog)} [{italic('OPTION')} ...]"),
            section("description", *paragraphs(text)),
            section("options", *options),
            section(title, *paragraphs(status)),
            section("files", *(i for t in FILES.items() for i in of(*t))),
            see_also(f"{NAME}(1)", "systemctl(1)", "systemd.socket(5)"),
        ),
    )


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        return italic("|".join(map(str, action.choices)))
    value = italic(str(action.metavar or action.dest.upper()))
    return f"{value} ..." if action.nargs == "+" else value


def pages() -> dict[str, str]:
    """The text of every page by its path below the manual's directory."""
    return dict([*command_pages(), daemon_page()])


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or compare them; the exit status."""
    parser = argparse.ArgumentParser(description="Write the manual pages.")
    parser.add_argument("--check", action="store_true", help="only tell whether they are there")
    parser.add_argument("directory", nargs="?", type=Path, default=COMMITTED)
    options = parser.parse_args(arguments)
    directory: Path = options.directory
    wanted = pages()
    present = {
        str(path.relative_to(directory)): path.read_text(encoding="utf-8")
        for path in sorted(directory.glob("man*/*"))
    }
    if options.check:
        wrong = sorted(
            path for path in wanted.keys() | present if wanted.get(path) != present.get(path)
        )
        if wrong:
            print(
                f"{', '.join(wrong)}: not as --help; nox -s manpages writes them", file=sys.stderr
            )
        return 1 if wrong else 0
    for path in present.keys() - wanted:
        (directory / path).unlink()
    for path, text in wanted.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
