package options

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/bounded"
	"github.com/secretref/secretref/logplugin/router"
)

const defaultTag = "{{.ID}}"

// tag renders the template.
func (r *Rules) tag(k *router.Kind, given map[string]string, info Info, picks map[string]string) (string, error) {
	text, ok := given["tag"]
	switch {
	case text != "":
	case ok && k.EmptyTag:
		return "", nil
	default:
		text = cmp.Or(k.DefaultTag, defaultTag)
	}
	return r.render("tag", text, info, picks)
}

// render renders the template of an option.
func (r *Rules) render(name, text string, info Info, picks map[string]string) (string, error) {
	rendered, err := bounded.Render(text, newTagData(r.Hostname, info, picks))
	if err == nil {
		return rendered, nil
	}
	if m := noField.FindStringSubmatch(err.Error()); m != nil {
		return "", fmt.Errorf("log-opt %s: a template has no .%s; write one of {{.%s}}", name, m[1], strings.Join(templateNames, "}}, {{."))
	}
	return "", fmt.Errorf("log-opt %s: %w", name, err)
}

// noField is what package bounded says of a field that a template cannot have.
var noField = regexp.MustCompile(`can't evaluate field (\w+) in type \*options\.tagData`)

// templateNames are what Docker documents for templates.
var templateNames = []string{
	"ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "Command", "Hostname", "DaemonName", "ContainerLabels", "ExtraAttributes",
}

// renderOption renders the template of an option, or each of its templates.
func (r *Rules) renderOption(o *router.Option, text string, info Info, picks map[string]string) (string, error) {
	if !o.Pairs {
		return r.render(o.Name, text, info, picks)
	}
	pairs, err := router.Pairs(text)
	if err != nil {
		return "", fmt.Errorf("log-opt %s: %w", o.Name, err)
	}
	for i := range pairs {
		if pairs[i].Value, err = r.render(o.Name, pairs[i].Value, info, picks); err != nil {
			return "", err
		}
	}
	return router.JoinPairs(pairs), nil
}

// tagData is what a template sees: what Docker's templates see, but for the environment and the log options. What is to
// be seen of the environment is picked with env and env-regex.
type tagData struct {
	ContainerID         string
	ContainerName       string
	ContainerEntrypoint string
	ContainerArgs       []string
	ContainerImageID    string
	ContainerImageName  string
	ContainerCreated    time.Time
	ContainerLabels     map[string]string
	LogPath             string
	DaemonName          string

	hostname string
	picks    map[string]string
}

func newTagData(hostname string, i Info, picks map[string]string) *tagData {
	return &tagData{
		ContainerID: i.ContainerID, ContainerName: i.ContainerName, ContainerEntrypoint: i.ContainerEntrypoint,
		ContainerArgs: i.ContainerArgs, ContainerImageID: i.ContainerImageID, ContainerImageName: i.ContainerImageName,
		ContainerCreated: i.ContainerCreated, ContainerLabels: i.ContainerLabels, LogPath: i.LogPath, DaemonName: i.DaemonName,
		hostname: hostname, picks: picks,
	}
}

// Methods are those that a template may call.
func (d *tagData) Methods() map[string]any {
	return map[string]any{
		"ID": d.ID, "FullID": d.FullID, "Name": d.Name, "Command": d.Command, "ImageID": d.ImageID, "ImageFullID": d.ImageFullID,
		"ImageName": d.ImageName, "Hostname": d.Hostname, "ExtraAttributes": d.ExtraAttributes,
	}
}

// ID is the first twelve digits of the container's id.
func (d *tagData) ID() string { return short(d.ContainerID) }

// FullID is the container's id.
func (d *tagData) FullID() string { return d.ContainerID }

// Name is the container's name without its slash.
func (d *tagData) Name() string { return strings.TrimPrefix(d.ContainerName, "/") }

// Command is what the container was started with.
func (d *tagData) Command() string {
	return strings.Join(append([]string{d.ContainerEntrypoint}, d.ContainerArgs...), " ")
}

// ImageID is twelve digits of the image's id. Docker before 29 counts "sha256:" among the twelve.
func (d *tagData) ImageID() string { return short(strings.TrimPrefix(d.ContainerImageID, "sha256:")) }

// ImageFullID is the image's id with "sha256:".
func (d *tagData) ImageFullID() string { return d.ContainerImageID }

// ImageName is the image as it was named in docker run.
func (d *tagData) ImageName() string { return d.ContainerImageName }

// Hostname is the name of the host.
func (d *tagData) Hostname() (string, error) {
	if d.hostname != "" {
		return d.hostname, nil
	}
	return os.Hostname()
}

// ExtraAttributes are the picks of labels and env; Docker's manual shows {{(.ExtraAttributes nil).NAME}}.
func (d *tagData) ExtraAttributes(rename func(string) string) map[string]string {
	if rename == nil {
		return maps.Clone(d.picks)
	}
	m := map[string]string{}
	for name, value := range d.picks {
		m[rename(name)] = value
	}
	return m
}
