package docs

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// style makes a picture readable on a light and on a dark page.
const style = `<style>
text { fill: #1f2328; font: 13px sans-serif } .title { font: bold 16px sans-serif } .name { font: bold 14px sans-serif }
rect { fill: #f3f5f8; stroke: #59636e } path { stroke: #59636e; fill: none } .label { font: italic 12px sans-serif }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } rect { fill: #1c2128; stroke: #9198a1 } path { stroke: #9198a1 } }
</style>
`

// draw makes a picture of its text: a title, boxes ("name | what it does") and between them arrows ("> what goes along").
func draw(text string) (string, error) {
	const width, box, arrow = 760, 52, 34
	title, rest, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n")
	var b strings.Builder
	y := 36
	for i, line := range strings.Split(rest, "\n") {
		label, isArrow := strings.CutPrefix(line, "> ")
		name, does, isBox := strings.Cut(line, " | ")
		switch {
		case i%2 == 1 && isArrow:
			fmt.Fprintf(&b, "<path d=\"M40 %d V%d M35 %d L40 %d L45 %d\"/>\n", y, y+arrow, y+arrow-7, y+arrow, y+arrow-7)
			fmt.Fprintf(&b, "<text class=\"label\" x=\"56\" y=\"%d\">%s</text>\n", y+arrow/2+4, html.EscapeString(label))
			y += arrow
		case i%2 == 0 && isBox:
			fmt.Fprintf(&b, "<rect x=\"10\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n", y, width-20, box)
			fmt.Fprintf(&b, "<text class=\"name\" x=\"24\" y=\"%d\">%s</text>\n", y+21, html.EscapeString(name))
			fmt.Fprintf(&b, "<text x=\"24\" y=\"%d\">%s</text>\n", y+41, html.EscapeString(does))
			y += box
		default:
			return "", fmt.Errorf("line %d is not a box or an arrow in its turn: %s", i+2, line)
		}
		if n := max(len(name), len(does)); n > 100 {
			return "", fmt.Errorf("line %d has a text of %d characters, want 100 at most", i+2, n)
		}
	}
	head := fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n<title>%s</title>\n",
		width, y+10, width, y+10, html.EscapeString(title))
	return head + style + fmt.Sprintf("<text class=\"title\" x=\"10\" y=\"22\">%s</text>\n", html.EscapeString(title)) + b.String() + "</svg>\n", nil
}

// Each picture is the one that its text, which stands beside it, makes.
func TestPictures(t *testing.T) {
	sources, err := filepath.Glob("pictures/*.txt")
	if err != nil || len(sources) != 2 {
		t.Fatalf("the texts of the pictures are %q, %v; want 2", sources, err)
	}
	for _, source := range sources {
		picture := strings.TrimSuffix(source, ".txt") + ".svg"
		want, err := draw(text(t, source))
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if *update {
			if err := os.WriteFile(picture, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := text(t, picture); got != want {
			t.Errorf("%s is not what %s makes: go test ./packaging/docs -run TestPictures -update", picture, source)
		}
	}
}
