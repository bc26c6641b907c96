#!/usr/bin/env bats
# completion.bats - what bash and zsh offer behind `rowcast`: the program's own commands and
# options, whatever they are.
#
# shellcheck shell=bash

load helper

setup() {
	rowcast_setup
	make_program
	PATH=$T/bin:$PATH
	touch "$T/a.db" "$T/b.txt"
}

# --- the program's own words, read by column -----------------------------------------------

commands_of() { rowcast --help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }'; }
options_of() { rowcast "$1" --help | grep -oE '^  (-., )?--[a-z-]+' | tr -d ' ' | tr , '\n'; }

# --- what bash offers: bash_offers WORD... ; the last word is begun ---------------------------

bash_offers() {
	bash --norc -c '
		source "$1"; shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_rowcast
		printf "%s\n" "${COMPREPLY[@]}"' - "$SRC/completions/rowcast" "$@" 2>&1 | sort
}

@test "completion: bash knows every command" {
	run bash_offers rowcast ''
	assert_output "$( (commands_of && printf '%s\n' --help --version) | sort)"
	[[ ${#lines[@]} -gt 7 ]]
	run bash_offers rowcast pru
	assert_output prune
}

@test "completion: bash knows every option of every command" {
	local command
	for command in $(commands_of); do
		run bash_offers rowcast "$command" -
		assert_output "$(options_of "$command" | sort)"
		[[ ${#lines[@]} -gt 2 ]]
	done
	run bash_offers rowcast serve --listen-
	assert_output --listen-mode
}

@test "completion: bash offers files, choices, and nothing where anything may stand" {
	cd "$T"
	run bash_offers rowcast serve --db a.
	assert_output a.db
	run bash_offers rowcast serve --db = a.
	assert_output a.db
	run bash_offers rowcast serve --log-level ''
	assert_output "$(printf '%s\n' debug error info warn)"
	run bash_offers rowcast serve --log-level = w
	assert_output warn
	run bash_offers rowcast serve --retry ''
	assert_output ''
}

@test "completion: bash's loader finds the file by the command's name" {
	# bash-completion looks for a file of that name; the file must register the function itself.
	run bash --norc -c "source '$SRC/completions/rowcast' && complete -p rowcast"
	assert_output 'complete -F _rowcast rowcast'
}

# --- what zsh offers: an interactive zsh in a pseudo terminal -------------------------------

# zsh_offers LINE: types the line and Tab, and prints what is listed, one match a line.
zsh_offers() {
	mkdir -p "$T/zsh"
	cp "$SRC/completions/_rowcast" "$T/zsh/"
	HOME=$T zsh -f "$BATS_TEST_DIRNAME/clients/zsh-offers" "$T/zsh" "$1" | sort
}

@test "completion: zsh knows every command, with what it does" {
	run zsh_offers 'rowcast '
	assert_output "$(commands_of | sort)"
	[[ ${#lines[@]} -gt 5 ]]
}

@test "completion: zsh knows every option of every command" {
	local command
	for command in $(commands_of); do
		run zsh_offers "rowcast $command -"
		assert_output "$(options_of "$command" | sort)"
		[[ ${#lines[@]} -gt 2 ]]
	done
}

@test "completion: zsh offers files and choices" {
	cd "$T"
	run zsh_offers 'rowcast serve --log-level '
	assert_output "$(printf '%s\n' debug error info warn)"
	run zsh_offers 'rowcast serve --db a'
	assert_output a.db
}
