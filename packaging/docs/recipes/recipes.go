// Package recipes finds the commands that the documents tell a user to type, and says of each what runs it. The tests that run them
// take them from here, so a command of a page is run as it stands there.
package recipes

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Recipe is one block of commands of a page.
type Recipe struct {
	Page string // its file's name
	Text string // lines, each with a newline
}

// Proof says what runs recipes: a Test in the directory In. Where there is none, Why has the reason.
type Proof struct {
	Page    string
	First   string // the text of the recipe begins with it; "" means any
	Test    string
	In      string // below the root of the project
	Instead string // of the source of the test, which runs this in place of the words of the page; "" = it takes them from the page
	Why     string
}

// All returns the recipes of README.md, the pages and the examples of the manual.
func All(root string) ([]Recipe, error) {
	files, err := filepath.Glob(filepath.Join(root, "packaging/docs/*.md"))
	if err != nil {
		return nil, err
	}
	manual, err := filepath.Glob(filepath.Join(root, "packaging/man/*.[1-9]"))
	if err != nil {
		return nil, err
	}
	var all []Recipe
	for _, file := range slices.Concat([]string{filepath.Join(root, "README.md")}, files, manual) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		find := inPage
		if filepath.Ext(file) != ".md" {
			find = inManual
		}
		for _, commands := range find(string(text)) {
			all = append(all, Recipe{filepath.Base(file), commands})
		}
	}
	return all, nil
}

// Of returns the text of the recipes that a test takes from a page, in order.
func Of(root, test, page string) ([]string, error) {
	all, err := All(root)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, r := range all {
		if p := Find(r); r.Page == page && p != nil && p.Test == test {
			found = append(found, r.Text)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no commands for %s", page, test)
	}
	return found, nil
}

// Pages are those from which a test takes recipes.
func Pages(test string) iter.Seq[string] {
	found := map[string]bool{}
	for _, p := range Proofs {
		if p.Test == test && p.Instead == "" {
			found[p.Page] = true
		}
	}
	return maps.Keys(found)
}

// Find returns what runs a recipe, or nil.
func Find(r Recipe) *Proof {
	for i, p := range Proofs {
		if p.Page == r.Page && strings.HasPrefix(r.Text, p.First) {
			return &Proofs[i]
		}
	}
	return nil
}

var (
	fence   = regexp.MustCompile("^( *)```([a-z]*)$")
	setting = regexp.MustCompile(`^(\{|[\w-]+: )`) // an example of a configuration
)

// inPage finds fences of sh, and what is indented by four and more.
func inPage(page string) (found []string) {
	fenced, language, block := false, "", ""
	end := func() {
		if block != "" && !setting.MatchString(block) {
			found = append(found, block)
		}
		block = ""
	}
	for line := range strings.Lines(page) {
		mark := fence.FindStringSubmatch(strings.TrimRight(line, "\n"))
		text, indented := strings.CutPrefix(line, "    ")
		switch {
		case mark != nil:
			end()
			fenced, language = !fenced, mark[2]
		case fenced && language == "sh":
			block += line
		case fenced:
		case indented && block == "" && regexp.MustCompile(`^ +\w`).MatchString(text):
			block = strings.TrimLeft(text, " ") // in a list
		case indented && block != "":
			block += strings.TrimPrefix(text, "   ")
		case indented:
			block = text
		default:
			end()
		}
	}
	end()
	return found
}

// inManual finds what follows a prompt in the examples.
func inManual(page string) (found []string) {
	_, examples, _ := strings.Cut(page, "\n.Sh EXAMPLES\n")
	examples, _, _ = strings.Cut(examples, "\n.Sh ")
	for _, display := range strings.Split(examples, "\n.Bd -literal")[1:] {
		_, display, _ = strings.Cut(display, "\n")
		display, _, _ = strings.Cut(display, "\n.Ed")
		block, goesOn := "", false
		for line := range strings.Lines(display + "\n") {
			command, is := strings.CutPrefix(line, "# ")
			if !is {
				command, is = strings.CutPrefix(line, "$ ")
			}
			if is || goesOn {
				block += strings.ReplaceAll(command, `\e`, `\`)
			}
			goesOn = (is || goesOn) && strings.HasSuffix(line, "\\e\n")
		}
		if block != "" {
			found = append(found, block)
		}
	}
	return found
}
