"""Completion in bash: click's own, except that it knows of words with colons.

bash breaks words at the characters of COMP_WORDBREAKS, so ``-H unix:///run/x.sock`` reaches click
as four words, and nothing behind it is completed. Here the whole line is handed over and split by
the rules of the shell; of what completes a word, bash replaces only the part behind the last break.
"""

from __future__ import annotations

import os
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class
from click.shell_completion import split_arg_string as split

LINE, BREAKS = "_PROCNURSERY_LINE", "_PROCNURSERY_BREAKS"

_SOURCE = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value
    response=$(env _PROCNURSERY_LINE="${COMP_LINE:0:COMP_POINT}" \
_PROCNURSERY_BREAKS="$COMP_WORDBREAKS" %(complete_var)s=bash_complete \
"${1/#\\~\\//$HOME/}" 2>/dev/null)
    COMPREPLY=()
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            if [[ $value == */ ]]; then
                compopt -o nospace
            fi
            COMPREPLY+=("$value")
        fi
    done
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """click's completion for bash with other words."""

    source_template = _SOURCE
    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """(words before the cursor, the word to be completed)"""
        # A letter at the cursor keeps the word there apart from the one before, whatever quotes
        # or blanks are between them.
        *words, last = split(os.environ[LINE] + "x")
        incomplete = last[:-1]
        # click completes the value in --option=VALUE without its name.
        self._typed = incomplete.partition("=")[2] if incomplete[:1] == "-" else incomplete
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """``type,value``, where the value is what is to stand behind the last break."""
        typed = self._typed
        breaks = [c for c in os.environ.get(BREAKS, "") if c in ":="]
        end = max((typed.rfind(c) + 1 for c in breaks), default=0)
        value = str(item.value)
        if value.startswith(typed[:end]):
            value = value[end:]
        return f"{item.type},{value}"


def register() -> None:
    """Make click use this class for bash."""
    add_completion_class(Bash)
