package routertest

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

//go:embed testdata/docker-28.5.2.json.gz
var captured []byte

// Capture is what Docker's own driver has sent for one container, on Docker 28.5.2.
type Capture struct {
	ID            string
	Driver        string
	Options       map[string]string
	Labels        map[string]string
	Env           map[string]string
	TTY           bool
	Input         string
	ContainerID   string `json:"container_id"`
	ContainerName string `json:"container_name"`
	Image         string
	ImageID       string `json:"image_id"`
	Created       time.Time
	Headers       [][2]string // of the first HTTP request with events
	Messages      [][]byte    // HEC events, msgpack messages, datagrams, or what stands between the separators of a stream
	// Pieces are the records that the daemon hands over for the container's lines. Their time and partial id are in Messages only.
	Pieces []router.Record `json:"-"`
}

// InputLine is one line that a container has written, or its last one without a newline.
type InputLine struct {
	Stream  string
	Line    []byte
	Newline bool
}

// The daemon's copier reads lines into a buffer of this size.
const copierBuffer = 16 << 10

type capturedFile struct {
	Inputs map[string][]InputLine
	Runs   []Capture
}

func read(t testing.TB) (file capturedFile) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(captured))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file
}

// Input returns the lines of a Capture's Input: "full" are the tricky ones, "short" a few.
func Input(t testing.TB, name string) []InputLine {
	t.Helper()
	lines := read(t).Inputs[name]
	if len(lines) == 0 {
		t.Fatalf("there is no input %s", name)
	}
	return lines
}

// Captures returns the captures of one of Docker's drivers.
func Captures(t testing.TB, driver string) []Capture {
	t.Helper()
	file := read(t)
	runs := slices.DeleteFunc(file.Runs, func(c Capture) bool { return c.Driver != driver })
	if len(runs) == 0 {
		t.Fatalf("there are no captures of the driver %s", driver)
	}
	for i := range runs {
		for _, l := range file.Inputs[runs[i].Input] {
			runs[i].Pieces = append(runs[i].Pieces, l.Pieces(runs[i].TTY)...)
		}
	}
	return runs
}

// Pieces cuts a line as the daemon does: a line that fills the buffer has an empty piece after it.
func (l InputLine) Pieces(tty bool) []router.Record {
	line, source := l.Line, []byte(l.Stream)
	if tty {
		line, source = append(slices.Clone(line), '\r'), []byte("stdout")
	}
	if l.Newline && len(line) < copierBuffer {
		return []router.Record{{Source: source, Line: line}}
	}
	var out []router.Record
	for n := int32(1); ; n++ {
		size := min(len(line), copierBuffer)
		last := size < copierBuffer
		out = append(out, router.Record{Source: source, Line: line[:size], Partial: true, Ordinal: n, Last: last && l.Newline})
		if line = line[size:]; last {
			return out
		}
	}
}

// Session returns the session of the captured container, with the attributes that its options pick.
func (c Capture) Session() router.Session {
	s := router.Session{ContainerID: c.ContainerID, ContainerName: c.ContainerName, Tag: c.ContainerID[:12], Host: "wirehost", Attrs: map[string]string{},
		About: router.About{Image: c.Image, ImageID: c.ImageID, Created: c.Created, Command: "/app " + c.Input}}
	if tag, ok := c.Options["tag"]; ok {
		s.Tag = strings.NewReplacer("{{.ImageName}}", "wire/emit:1.0", "{{.Name}}", "wire-app", "{{.ID}}", c.ContainerID[:12],
			"{{.FullID}}", c.ContainerID, "{{.ImageID}}", c.ImageID[:min(12, len(c.ImageID))], "{{.ImageFullID}}", c.ImageID, "{{.DaemonName}}", "docker", "{{.Command}}", "/app "+c.Input, "{{.Hostname}}", "wirehost").Replace(tag)
	}
	for _, from := range []struct {
		values       map[string]string
		names, regex string
	}{{c.Labels, "labels", "labels-regex"}, {c.Env, "env", "env-regex"}} {
		for name, value := range from.values {
			pattern, byRegex := c.Options[from.regex]
			if slices.Contains(strings.Split(c.Options[from.names], ","), name) || byRegex && regexp.MustCompile(pattern).MatchString(name) {
				s.Attrs[name] = value
			}
		}
	}
	return s
}
