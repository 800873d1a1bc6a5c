# Makes an az whose PYTHONPATH names this folder print the names of its commands, and nothing else.
import os
import sys
import warnings

warnings.simplefilter("ignore")

from azure.cli.core import get_default_cli

cli = get_default_cli()
cli.invocation = cli.invocation_cls(cli_ctx=cli, commands_loader_cls=cli.commands_loader_cls, parser_cls=cli.parser_cls, help_cls=cli.help_cls)
cli.invocation.commands_loader.load_command_table(None)
print("\n".join(sorted(cli.invocation.commands_loader.command_table)))
sys.stdout.flush()
os._exit(0)
