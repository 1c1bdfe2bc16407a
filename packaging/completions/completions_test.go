// Package completions_test makes the completions of the shells from --help, and lets bash use one.
package completions_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/credhelper"
	"github.com/secretref/secretref/logplugin"
)

var update = flag.Bool("update", false, "write the files anew")

type option struct{ name, value, text string }

type command struct {
	name, text string
	words      []string // that may follow it
	options    []option
}

// program is one whose completions are here.
type program struct {
	name string
	run  func(args []string, out io.Writer) int
}

var programs = []program{
	{"docker-credential-secretref", func(args []string, out io.Writer) int {
		return credhelper.Run(context.Background(), credhelper.Program{Args: args, Stdout: out, Stderr: out})
	}},
	{logplugin.Name, func(args []string, out io.Writer) int {
		return logplugin.Run(context.Background(), logplugin.Program{Args: args, Stdout: out, Stderr: out, Getenv: func(string) string { return "" }})
	}},
}

func (p program) help(t *testing.T, args ...string) string {
	t.Helper()
	var out strings.Builder
	if code := p.run(args, &out); code != 0 {
		t.Fatalf("%s %q: exit status %d: %s", p.name, args, code, out.String())
	}
	return out.String()
}

// commands asks the program for them.
func (p program) commands(t *testing.T) (all []command) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z][a-z-]*)(?: [a-z]+)?(?: [A-Z\[].*?)?  +\S`).FindAllStringSubmatch(p.help(t, "help"), -1) {
		if slices.ContainsFunc(all, func(c command) bool { return c.name == m[1] }) {
			continue
		}
		help := p.help(t, m[1], "--help")
		usage, rest, _ := strings.Cut(help, "\n\n")
		text, _, _ := strings.Cut(rest, "\n")
		c := command{name: m[1], text: strings.TrimSuffix(text, ".")}
		if words := regexp.MustCompile(`[a-z]+(?:\|[a-z]+)+$`).FindString(usage); words != "" {
			c.words = strings.Split(words, "|")
		} else if word := regexp.MustCompile(`^Usage: \S+ [a-z-]+ ([a-z]+) `).FindStringSubmatch(usage); word != nil {
			c.words = word[1:]
		}
		for _, o := range regexp.MustCompile(`(?m)^  --([a-z-]+)(?: ([A-Z=]+))?  +(\S.*)$`).FindAllStringSubmatch(help, -1) {
			c.options = append(c.options, option{o[1], o[2], o[3]})
		}
		all = append(all, c)
	}
	if len(all) < 8 {
		t.Fatalf("%s: only %d commands found in\n%s", p.name, len(all), p.help(t, "help"))
	}
	return all
}

// isFile reports whether the value of an option is the name of a file or a directory.
func (o option) isFile() bool { return slices.Contains([]string{"FILE", "DIR", "PATH"}, o.value) }

func bash(p program, all []command) string {
	function := "_" + strings.ReplaceAll(p.name, "-", "_")
	var b strings.Builder
	fmt.Fprintf(&b, "# bash completion of %s\n\n%s() {\n\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words=\n\tCOMPREPLY=()\n", p.name, function)
	b.WriteString("\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords='" + names(all) + "'\n\telse\n")
	b.WriteString("\t\tcase ${COMP_WORDS[1]}:$before in\n")
	for _, c := range all {
		for _, o := range c.options {
			if o.isFile() {
				fmt.Fprintf(&b, "\t\t%s:--%s) mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n", c.name, o.name)
			} else if o.value != "" {
				fmt.Fprintf(&b, "\t\t%s:--%s) ;;\n", c.name, o.name)
			}
		}
	}
	for _, c := range all {
		var words []string
		for _, o := range c.options {
			words = append(words, "--"+o.name)
		}
		fmt.Fprintf(&b, "\t\t%s:*) words='%s' ;;\n", c.name, strings.Join(append(words, append(c.words, "--help")...), " "))
	}
	b.WriteString("\t\tesac\n\tfi\n\t[ -z \"$words\" ] || mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n")
	fmt.Fprintf(&b, "complete -F %s %s\n", function, p.name)
	return b.String()
}

func names(all []command) string {
	var s []string
	for _, c := range all {
		s = append(s, c.name)
	}
	return strings.Join(s, " ")
}

// quote makes a text one word of a shell, and one without the characters that zsh's functions read.
func quote(text string) string {
	return strings.NewReplacer("'", `’`, ":", ",", "[", "(", "]", ")").Replace(text)
}

func zsh(p program, all []command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n# zsh completion of %s\n\nlocal -a commands\ncommands=(\n", p.name, p.name)
	for _, c := range all {
		fmt.Fprintf(&b, "  '%s:%s'\n", c.name, quote(c.text))
	}
	b.WriteString(")\nif (( CURRENT == 2 )); then\n  _describe command commands\n  return\nfi\ncase $words[2] in\n")
	for _, c := range all {
		fmt.Fprintf(&b, "%s)\n  shift words; (( CURRENT-- ))\n  _arguments", c.name)
		for _, o := range c.options {
			spec := "--" + o.name + "[" + quote(o.text) + "]"
			if o.isFile() {
				spec += ":" + o.value + ":_files"
			} else if o.value != "" {
				spec += ":" + o.value + ": "
			}
			if o.name == "log-opt" {
				spec = "*" + spec
			}
			fmt.Fprintf(&b, " \\\n    '%s'", spec)
		}
		if len(c.words) > 0 {
			fmt.Fprintf(&b, " \\\n    '1:word:(%s)'", strings.Join(c.words, " "))
		}
		b.WriteString(" \\\n    '--help[print the help of this command]'\n  ;;\n")
	}
	b.WriteString("esac\n")
	return b.String()
}

func fish(p program, all []command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion of %s\n\ncomplete -c %s -f\n", p.name, p.name)
	for _, c := range all {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -a %s -d '%s'\n", p.name, c.name, quote(c.text))
	}
	for _, c := range all {
		of := fmt.Sprintf("complete -c %s -n '__fish_seen_subcommand_from %s'", p.name, c.name)
		for _, o := range c.options {
			value := ""
			if o.isFile() {
				value = " -r -F"
			} else if o.value != "" {
				value = " -x"
			}
			fmt.Fprintf(&b, "%s -l %s%s -d '%s'\n", of, o.name, value, quote(o.text))
		}
		if len(c.words) > 0 {
			fmt.Fprintf(&b, "%s -a '%s'\n", of, strings.Join(c.words, " "))
		}
	}
	return b.String()
}

func TestCompletions(t *testing.T) {
	for _, p := range programs {
		all := p.commands(t)
		for file, want := range map[string]string{p.name + ".bash": bash(p, all), "_" + p.name: zsh(p, all), p.name + ".fish": fish(p, all)} {
			if *update {
				if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(file); err != nil || string(got) != want {
				t.Errorf("%s is not what --help gives (%v); run go test ./packaging/completions -update", file, err)
			}
		}
	}
}

// What bash offers for words of a command line.
func TestBash(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"secretref-logdriver sta", "status"},
		{"secretref-logdriver status --wa", "--watch"},
		{"secretref-logdriver check --config completions_t", "completions_test.go"},
		{"secretref-logdriver check --log-opt x", ""},
		{"secretref-logdriver configure run", "runtime"},
		{"docker-credential-secretref configure po", "podman"},
		{"docker-credential-secretref explain --js", "--json"},
	} {
		const script = `source "./$1.bash"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "_${1//-/_}"; printf '%s\n' "${COMPREPLY[@]}"`
		out, err := shell(t, append([]string{"bash", "--norc", "-euc", script, "bash"}, strings.Fields(c.line)...)...)
		if got := strings.TrimSpace(out); err != nil || got != c.want {
			t.Errorf("%s: bash offers %q, %v, want %q", c.line, got, err, c.want)
		}
	}
}

// shell runs a shell.
func shell(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	return string(out), err
}
