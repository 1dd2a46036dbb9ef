#!/usr/bin/env python3
"""Manual pages from what the program says of itself: `latchstring --experimental-dump-help | manpages.py FOLDER VERSION DATE`.

One page for each command that is shown, latchstring-fleet-key.1 for a command below a command.
"""
import json
import re
import sys
from pathlib import Path


def escaped(text):
    """Text as roff has it: nothing in it is a request or an escape. `code` becomes bold."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    lines = []
    for line in text.split("\n"):
        line = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", line)
        lines.append("\\&" + line if line[:1] in (".", "'") else line)
    return "\n".join(lines)


def prose(text):
    """Paragraphs; lines that begin with spaces stay as they are."""
    out = []
    verbatim = False
    for line in text.split("\n"):
        indented = line.startswith("  ")
        if indented != verbatim:
            out.append(".nf" if indented else ".fi")
            verbatim = indented
        out.append(escaped(line) if line.strip() else ".PP")
    if verbatim:
        out.append(".fi")
    return "\n".join(out)


def spelled(argument):
    return [("--" if name["kind"] == "long" else "-") + name["name"] for name in argument.get("names", [])]


def value(argument):
    return argument.get("valueName", "value")


def heading(argument):
    if argument["kind"] == "positional":
        return "\\fI" + escaped(value(argument)) + "\\fR"
    names = ", ".join("\\fB" + escaped(name) + "\\fR" for name in spelled(argument))
    return names + (" \\fI" + escaped(value(argument)) + "\\fR" if argument["kind"] == "option" else "")


def synopsis(name, command):
    parts = ["\\fB" + escaped(name) + "\\fR"]
    for argument in shown(command):
        if argument["kind"] == "positional":
            text = heading(argument)
        else:
            longest = max(spelled(argument), key=len)
            text = "\\fB" + escaped(longest) + "\\fR"
            text += " \\fI" + escaped(value(argument)) + "\\fR" if argument["kind"] == "option" else ""
        if argument.get("isRepeating"):
            text += "..."
        parts.append("[" + text + "]" if argument.get("isOptional") else text)
    if subcommands(command):
        parts.append("\\fIcommand\\fR ...")
    return " ".join(parts)


def shown(command):
    return [argument for argument in command.get("arguments", []) if argument.get("shouldDisplay")]


def subcommands(command):
    return [one for one in command.get("subcommands", []) if one.get("shouldDisplay") and one["commandName"] != "help"]


def page(path, command, version, date):
    name = " ".join(path)
    title = "-".join(path)
    lines = [
        f'.TH {escaped(title.upper())} 1 {date} "{version}" "Latchstring"',
        ".SH NAME", f"{escaped(title)} \\- {escaped(command['abstract'].rstrip('.'))}",
        ".SH SYNOPSIS", synopsis(name, command)]
    if command.get("discussion"):
        lines += [".SH DESCRIPTION", prose(command["discussion"])]
    if shown(command):
        lines.append(".SH OPTIONS")
        for argument in shown(command):
            lines += [".TP", heading(argument)]
            text = " ".join(part for part in (argument.get("abstract"), argument.get("discussion")) if part)
            if argument.get("defaultValue"):
                text += f" Default: {argument['defaultValue']}."
            lines.append(escaped(text or "No further description."))
    below = subcommands(command)
    if below:
        lines.append(".SH COMMANDS")
        for one in below:
            lines += [".TP", f"\\fB{escaped('-'.join(path + [one['commandName']]))}\\fR(1)", escaped(one["abstract"])]
    lines += [
        ".SH FILES", ".TP", "\\fI/etc/latchstring/edge.yaml\\fR, \\fI/etc/latchstring/keyholder.yaml\\fR",
        "What the services of the package read.", ".TP", "\\fI/usr/share/doc/latchstring\\fR",
        "Every setting (configuration.md), operation (operations.md), and how it works."]
    if len(path) > 1:
        lines += [".SH SEE ALSO", f"\\fB{escaped('-'.join(path[:-1]))}\\fR(1)"]
    return "\n".join(lines) + "\n"


def write(folder, path, command, version, date):
    (folder / f"{'-'.join(path)}.1").write_text(page(path, command, version, date))
    for one in subcommands(command):
        write(folder, path + [one["commandName"]], one, version, date)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: latchstring --experimental-dump-help | manpages.py FOLDER VERSION DATE")
    root = json.load(sys.stdin)["command"]
    write(Path(sys.argv[1]), [root["commandName"]], root, sys.argv[2], sys.argv[3])
