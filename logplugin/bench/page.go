package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Where a table stands in the page: between a line that names it and a line that ends it.
const (
	placeEnd = "<!-- /bench -->\n"
	pageName = "performance.md"
	machine  = "machine" // the place for where and how it was measured
)

func placeOf(name string) string { return "<!-- bench " + name + " -->\n" }

// publish writes the report, the charts with the text from which they are drawn, and the tables into the page.
func (r *results) publish(dir string) error {
	path := filepath.Join(dir, pageName)
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := r.fill(string(page))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var report strings.Builder
	if err := r.write(&report); err != nil {
		return err
	}
	files := map[string]string{path: text}
	into := filepath.Join(dir, "performance")
	files[filepath.Join(into, "report.txt")] = report.String()
	for _, c := range r.charts() {
		picture, err := draw(c.source())
		if err != nil {
			return fmt.Errorf("chart %s: %w", c.name, err)
		}
		files[filepath.Join(into, c.name+".tsv")] = string(c.source())
		files[filepath.Join(into, c.name+".svg")] = string(picture)
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// fill puts the tables of the results into a page. Every table must have its place.
func (r *results) fill(page string) (string, error) {
	where := fmt.Sprintf("\n```text\n%s\n%s\n```\n\n", r.machine, r.command())
	page, err := replace(page, machine, where)
	if err != nil {
		return "", err
	}
	for _, t := range r.tables() {
		if page, err = replace(page, t.name, "\n"+t.markdown()+"\n"); err != nil {
			return "", err
		}
	}
	return page, nil
}

func replace(page, name, text string) (string, error) {
	before, rest, ok := strings.Cut(page, placeOf(name))
	_, after, ended := strings.Cut(rest, placeEnd)
	if !ok || !ended {
		return "", fmt.Errorf("no place for the table %s", name)
	}
	return before + placeOf(name) + text + placeEnd + after, nil
}
