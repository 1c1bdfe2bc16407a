package bounded

import (
	"errors"
	"maps"
	"runtime"
	"strings"
	"testing"
	"text/template"
)

// sameTexts are templates whose results text/template decides: for each it gives a result, or an error.
var sameTexts = []string{
	`{{.Name}} {{$.Name}} {{.Upper}} {{.Nope}}`, `{{.Upper 1}}`, `{{.Name 1}}`, `{{.Labels.a 1}}`, `{{.hidden}}`, `{{.Labels.a.b}}`, `{{.Name.x}}`,
	`{{.Labels.missing.more}}`, `{{.}}`, `{{.Labels}} {{.List}} {{.Created}}`, `{{(index .List 0) | upper}}`, `{{(.Labels).a}}`, `{{nil}}`, `{{(nil).a}}`,
	`{{.Created.Year}} {{.Created.Month}} {{.Created.Month.String}} {{.Created.Weekday}} {{.Created.Location}} {{.Created.Location.String}}`,
	`{{.Created.Add 5}} {{(.Created.Sub .Created).Seconds}} {{.Created.UTC.Format "Mon"}} {{.Created.After .Created}} {{.Created.AddDate 0 1 2}}`,
	`{{.Created.Format}}`, `{{.Created.Format 1}}`, `{{.Created.Date}}`, `{{.Created.In nil}}`, `{{.Created.MarshalText | printf "%s"}}`, `{{.Created.Add "1"}}`,
	`{{1}} {{-1}} {{1.5}} {{1e3}} {{0x1F}} {{0x1p4}} {{'a'}} {{0b11}} {{1_000}} {{1i}} {{true}} {{"a\n"}} {{` + "`raw`" + `}}`, `{{18446744073709551615}}`,
	`{{printf "%T %T %T %T" 1 1.0 'a' 1i}}`, `{{printf "%v %v" nil .Labels.missing}}`, `{{printf}}`, `{{printf 1}}`, `{{"a" 1}}`, `{{1 | 2}}`, `{{. | .Name}}`,
	`{{if 0}}a{{else if ""}}b{{else if .List}}c{{end}}`, `{{if .Labels.missing}}a{{else}}b{{end}}`, `{{if 0.0}}a{{end}}{{if 1i}}b{{end}}{{if .Created}}c{{end}}`,
	`{{with $x := .Name}}{{$x}}{{.}}{{else with .List}}{{.}}{{end}}`, `{{with ""}}a{{else with .List}}{{.}}{{else}}c{{end}}`, `{{with .Nope}}{{end}}`,
	`{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{$x}}{{end}}{{$x}}`, `{{$x := 1}}{{range $x = .List}}{{$x}}{{end}}{{$x}}`, `{{range $i, $x := 3}}{{end}}`,
	`{{$i := 0}}{{$x := ""}}{{range $i, $x = .List}}{{$i}}{{$x}}{{end}}{{$i}}{{$x}}`, `{{range .Name}}{{end}}`, `{{range .Created}}{{end}}`, `{{range nil}}{{end}}`,
	`{{range $x := .Labels}}{{$x}}{{else}}none{{end}}`, `{{range 0}}a{{else}}{{.Name}}{{end}}`, `{{range .List}}{{if eq . "x"}}{{continue}}{{end}}{{.}}{{break}}{{end}}`,
	`{{range 3}}{{range 3}}{{if eq . 1}}{{break}}{{end}}{{.}}{{end}},{{end}}`, `{{range 2}}{{with 1}}{{continue}}{{end}}a{{end}}`, `{{range -1}}a{{else}}b{{end}}`,
	`{{define "t"}}{{.}}{{$}}{{end}}{{template "t"}}{{template "t" 1}}{{template "t" .List}}`, `{{template "none"}}`, `{{define "t"}}{{$x}}{{end}}`,
	`{{define "text"}}other{{end}}`, `{{define "text"}}other{{end}}main`, `{{define "t"}}{{end}}{{define "t"}}b{{end}}{{template "t"}}`, `{{block "b" .List}}{{len .}}{{end}}`,
	`{{and 1 0 2}} {{and 1 2}} {{or 0 "" .List}} {{or 0 ""}} {{not 1}} {{not nil}} {{1 | and 0}} {{1 | or 0}}`, `{{and}}`, `{{not}}`, `{{not 1 2}}`, `{{or 1 .Nope}}`, `{{and 1 .Nope}}`,
	`{{eq 1 1}} {{eq 1 2 1}} {{eq "a" "b"}} {{eq 1.0 1.0}} {{eq true true}} {{eq 1i 1i}} {{eq .Labels.missing nil}} {{eq .Created .Created}}`, `{{eq 1}}`, `{{eq 1 "a"}}`, `{{eq 1 1.0}}`,
	`{{eq .List .List}}`, `{{eq .List nil}} {{eq .Labels nil}}`, `{{eq nil nil}}`, `{{eq .Labels .Labels}}`, `{{eq 1 nil}}`, `{{ne 1 nil}}`, `{{eq .Labels.missing 1}}`, `{{eq true 1}}`,
	`{{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1.5 2.5}} {{lt .Created.Month 12}}`, `{{lt 1 "a"}}`, `{{lt true false}}`, `{{lt nil 1}}`, `{{lt 1}}`, `{{lt .List .List}}`, `{{lt 1i 2i}}`,
	`{{index .List 0}}{{index .Name 1}}{{index .Labels "a"}}{{index .Labels "no"}}{{index .List}}`, `{{index .List 2}}`, `{{index .List -1}}`, `{{index .List "a"}}`, `{{index .Labels 1}}`,
	`{{index nil 1}}`, `{{index .List nil}}`, `{{index 1 1}}`, `{{index .Labels.missing 1}}`, `{{index .List 0 0}}`, `{{1 | index .List}}`, `{{index .List 1.0}}`, `{{index .Labels nil}}`,
	`{{slice .Name 1}}{{slice .Name 0 1}}{{slice .List 0 1 2}}{{slice .List}}`, `{{slice .Name 0 1 2}}`, `{{slice .Name 2 1}}`, `{{slice .Name 9}}`, `{{slice 1}}`, `{{slice nil}}`,
	`{{slice .List 0 1 1 1}}`, `{{slice .List 2 1 2}}`, `{{slice (slice .List 0 1) 0 2}}`, `{{len .Name}}{{len .Labels}}{{len "é"}}`, `{{len 1}}`, `{{len nil}}`, `{{len}}`, `{{len .Labels.missing}}`,
	`{{call .Name}}`, `{{call nil}}`, `{{call}}`, `{{html .Labels}}{{js .List}}{{urlquery "a" 1 .Name}}`, `{{html nil}}`, `{{print nil}}{{print}}{{println}}`, `{{print .}}`,
	`{{json .Labels}}{{json nil}}{{json .Created}}`, `{{join .List}}`, `{{join .List 1}}`, `{{join .Name ","}}`, `{{split .Name "p" | len}}`, `{{"," | join .List}}`, `{{.List | join ","}}`,
	`{{title "a b"}}{{lower "AB"}}{{upper .Name}}{{pad .Name 1 2}}{{truncate .Name 2}}{{truncate .Name 99}}`, `{{truncate .Name -1}}`, `{{truncate .Name "a"}}`, `{{pad .Name -1 0}}`, `{{upper 1}}`,
	`{{upper nil}}`, `{{upper .Labels.missing}}`, `{{pad .Name 1.0 'a'}}`, `{{pad .Name 1.5 0}}`, `{{truncate .Name .Created.Year}}`, `{{truncate .Name .Created.Month}}`, `{{upper (index .Labels "a")}}`,
	"a {{- /* c */ -}} b\n{{- .Name -}}\n", `{{/* c */}}`, `{{break}}`, `{{end}}`, `{{.Name`, `{{nofunc}}`, `{{$nope}}`, `{{.Name.}}`, `{{if}}{{end}}`, `{{"a}}`, `{{1a}}`, `{{.Name | len | printf "%03d"}}`,
	`{{with .Created}}{{.Year}}{{$.Name}}{{end}}`, `{{$t := .Created}}{{$t.Year}}{{$t.Nope}}`, `{{(.Created.Sub .Created).Nope}}`, `{{.Created.Location.Nope}}`, `{{(print "a").Nope}}`, `{{$x := .}}{{$x.Name}}{{$x.Upper}}`,
}

// sameAsTextTemplate compares a result with that of text/template, where the budget allows one.
func sameAsTextTemplate(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, "Methods") || strings.Contains(text, "Unmarshal") || strings.Contains(text, "Decode") {
		return // they stand for the list of methods here, and change the data there
	}
	d := testData()
	got, err := Render(text, d)
	if _, over := errors.AsType[*BudgetError](err); over {
		return
	}
	var want strings.Builder
	other, wrong := template.New(rootName).Funcs(maps.Clone(functions)).Parse(text)
	if wrong == nil {
		wrong = other.Execute(&want, d)
	}
	if (err == nil) != (wrong == nil) {
		t.Fatalf("Render(%q) = %q, %v; text/template gives %q, %v", text, got, err, want.String(), wrong)
	}
	if err == nil && got != want.String() {
		t.Errorf("Render(%q) = %q; text/template gives %q", text, got, want.String())
	}
}

func TestRenderAsTextTemplate(t *testing.T) {
	for _, text := range sameTexts {
		sameAsTextTemplate(t, text)
	}
}

func FuzzRenderAsTextTemplate(f *testing.F) {
	for _, text := range sameTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		sameAsTextTemplate(t, text)
	})
}
