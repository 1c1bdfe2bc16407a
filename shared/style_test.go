package shared_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Limits of what a reader has to keep in mind at once. More needs a reason: the word "reason:" in the comment of the
// function or the struct.
const (
	maxLines  = 60
	maxFields = 15
)

// words are what CONTRIBUTING's list of words replaces, in comments, texts and documents.
var words = []struct {
	not *regexp.Regexp // but for what is allowed
	but string
}{
	{regexp.MustCompile(`\b[Tt]ells? (us )?(whether|if)\b`), "reports whether"},
	{regexp.MustCompile(`\b\w+ (is|are) no [a-z]+\b`), "is not a valid ..., is not a ..."},
	{regexp.MustCompile(`\bnobody is\b`), "says who or what does it; nil means no callback"},
	{regexp.MustCompile(`\b(it has|has) gone away\b`), "was removed, has ended"},
	{regexp.MustCompile(`\b(is|are|was|be|being) mended\b|\bmends?\b`), "fixed"},
	{regexp.MustCompile(`\b(has|have) (its|their) way\b`), "take effect"},
	{regexp.MustCompile(`\b(is|are) on (its|their) way\b`), "are being delivered"},
	{regexp.MustCompile(`\bWho (may|can|has|wants|writes|starts)\b[^?\n]*$`), "Anyone who, a caller that"},
	{regexp.MustCompile(`\bfor want of\b`), "for lack of, because there is no"},
	{regexp.MustCompile(`\bfor (all|good) that is known\b`), "says what is known"},
}

// allowed is what words do not mean.
var allowed = regexp.MustCompile(`^[Tt]?here (is|are) no |(is|are) no (longer|more)$`)

// forEach calls f with every file of the module that git would keep and that ends so.
func forEach(t *testing.T, suffixes []string, f func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "dist" || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		for _, s := range suffixes {
			if strings.HasSuffix(path, s) {
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				f(strings.TrimPrefix(path, "../"), string(b))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWords(t *testing.T) {
	forEach(t, []string{".go", ".md", ".1", ".5", ".7", ".toml", ".service", ".socket"}, func(path, text string) {
		if path == "shared/style_test.go" || path == "CONTRIBUTING.md" {
			return
		}
		n := 0
		for line := range strings.Lines(text) {
			n++
			for _, w := range words {
				for _, found := range w.not.FindAllString(strings.TrimRight(line, "\n"), -1) {
					if !allowed.MatchString(found) {
						t.Errorf("%s:%d: %q; write %q", path, n, found, w.but)
					}
				}
			}
		}
	})
}

func TestSizes(t *testing.T) {
	forEachFile(t, func(path string, set *token.FileSet, file *ast.File) {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				n := set.Position(d.End()).Line - set.Position(d.Pos()).Line - 1
				if n > maxLines && !strings.HasSuffix(path, "_test.go") && !strings.Contains(d.Doc.Text(), "reason:") {
					t.Errorf("%s: %s has %d lines, want at most %d", path, d.Name.Name, n, maxLines)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok {
						checkFields(t, path, s, d.Doc.Text()+s.Doc.Text())
					}
				}
			}
		}
	})
}

func checkFields(t *testing.T, path string, s *ast.TypeSpec, doc string) {
	t.Helper()
	x, ok := s.Type.(*ast.StructType)
	if !ok || strings.HasSuffix(path, "_test.go") || strings.Contains(doc, "reason:") {
		return
	}
	if n := x.Fields.NumFields(); n > maxFields {
		t.Errorf("%s: %s has %d fields, want at most %d", path, s.Name.Name, n, maxFields)
	}
}

// A test waits for what happens, not for a time in which it probably does.
func TestTestsDoNotSleep(t *testing.T) {
	forEachFile(t, func(path string, set *token.FileSet, file *ast.File) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, at := range waits(file) {
			t.Errorf("%s: waits for a time; wait for the event, or use testing/synctest", set.Position(at))
		}
	})
}

// waits returns the statements that wait for a time and nothing else, outside of bubbles of testing/synctest.
func waits(file *ast.File) (at []token.Pos) {
	limits := map[ast.Stmt]bool{} // <-time.After as a case of a select
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if fmt.Sprint(n.Fun) == "&{synctest Test}" {
				return false
			}
		case *ast.CommClause:
			limits[n.Comm] = true
		case *ast.ExprStmt:
			if !limits[n] && isWait(n.X) {
				at = append(at, n.Pos())
			}
		}
		return true
	})
	return at
}

func TestWaits(t *testing.T) {
	for _, tt := range []struct {
		body string
		want int
	}{
		{"<-time.After(time.Second)", 1},
		{"go func() { for { <-time.After(1) } }()", 1},
		{"select { case <-c: case <-time.After(1): }", 0},
		{"<-c", 0},
		{"synctest.Test(t, func(*testing.T) { <-time.After(1) }); <-time.After(1)", 1},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "a_test.go", "package a; func f() { "+tt.body+" }", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(waits(file)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.body, got, tt.want)
		}
	}
}

// isWait reports whether x is <-time.After(...). The linter looks for time.Sleep.
func isWait(x ast.Expr) bool {
	receive, ok := x.(*ast.UnaryExpr)
	if !ok || receive.Op != token.ARROW {
		return false
	}
	call, ok := receive.X.(*ast.CallExpr)
	return ok && fmt.Sprint(call.Fun) == "&{time After}"
}

// Outgoing connections take their ports from this range, so that a test cannot count on one of them.
var outgoing = regexp.MustCompile(`^"[^" ]*:(3276[89]|327[7-9]\d|32[89]\d\d|3[3-9]\d{3}|[45]\d{4}|60\d{3})"$`)

// A test names ports that no outgoing connection can have; shared/porttest reserves one of the others.
func TestTestsNamePorts(t *testing.T) {
	forEachFile(t, func(path string, set *token.FileSet, file *ast.File) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && outgoing.MatchString(text.Value) {
				t.Errorf("%s: %s can be the port of an outgoing connection; use one below 32768, or shared/porttest", set.Position(n.Pos()), text.Value)
			}
			return true
		})
	})
	for text, want := range map[string]bool{
		`"127.0.0.1:32767"`: false, `"127.0.0.1:32768"`: true, `":45662"`: true, `"[::1]:60999"`: true, `"127.0.0.1:61000"`: false, `"h:8088"`: false,
	} {
		if got := outgoing.MatchString(text); got != want {
			t.Errorf("%s is a port of an outgoing connection: %v, want %v", text, got, want)
		}
	}
}

func forEachFile(t *testing.T, f func(path string, set *token.FileSet, file *ast.File)) {
	t.Helper()
	forEach(t, []string{".go"}, func(path, text string) {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		f(path, set, file)
	})
}
