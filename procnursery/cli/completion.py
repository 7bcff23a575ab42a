"""``procnursery completion``."""

from __future__ import annotations

import click

from procnursery.cli.bash import register


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete commands, options, ids and addresses.

    \b
    bash, in ~/.bashrc:  eval "$(procnursery completion bash)"
    zsh, in ~/.zshrc:    eval "$(procnursery completion zsh)"
    fish:  procnursery completion fish > ~/.config/fish/completions/procnursery.fish
    """
    from click.shell_completion import get_completion_class

    register()
    kind = get_completion_class(shell)
    assert kind is not None, shell
    root = context.find_root()
    click.echo(kind(root.command, {}, "procnursery", "_PROCNURSERY_COMPLETE").source(), nl=False)
