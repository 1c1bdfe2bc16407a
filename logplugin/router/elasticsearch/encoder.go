package elasticsearch

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// maxText is how long a line may be in a request, in JSON.
const maxText = 900_000

// Encoder writes the records of one session: an action, which creates a document with an id of its own, and the document.
type Encoder struct {
	index indexName // with the beginning of each id behind it
	clock router.Clock
	rest  []byte // of the action, behind the id
	tail  []byte // of the document, behind the line and its place
	given map[string]bool
	parse bool // members of a line that is a JSON object are fields

	line jsontext.Members
}

var _ router.Encoder = (*Encoder)(nil)

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) router.Encoder {
	if f := settingsOf(v); f != nil {
		return asFluentBit(v, s, f)
	}
	e := &Encoder{parse: v.Bool(parseJSON, false), given: map[string]bool{}, index: newIndexName(v, idOf(s))}
	e.rest = []byte(`"`)
	if name := v.String(pipeline, ""); name != "" {
		e.rest = jsontext.AppendString([]byte(`","pipeline":`), []byte(name))
	}
	e.rest = append(e.rest, "}}\n"+`{"@timestamp":"`...)
	name := strings.TrimPrefix(s.ContainerName, "/")
	all := map[string]string{
		"container.id": s.ContainerID, "container.name": name, "container.image.name": s.About.Image, "host.name": s.Host,
		"service.name": cmp.Or(s.About.Service, name), "service.namespace": s.About.Project,
		"cloud.instance.id": s.Instance.ID, "cloud.machine.type": s.Instance.Type, "cloud.availability_zone": s.Instance.Zone,
		"cloud.region": s.Instance.Region, "cloud.account.id": s.Instance.Account,
	}
	if s.Instance.ID != "" {
		all["cloud.provider"] = "aws"
	}
	for label, value := range s.Attrs {
		// A dot would make an object, and app and app.name cannot both be one.
		all["labels."+strings.ReplaceAll(label, ".", "_")] = value
	}
	for _, p := range v.Pairs(fields, "host.name="+s.Host) {
		all[p.Name] = p.Value
		e.given[p.Name] = true
		if p.Name == "" || slices.Contains(own, p.Name) || p.Name == "log.offset" {
			v.Refuse("log-opt %s: %q is a field of the log driver's own", fields, p.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] == "" {
			continue
		}
		e.tail = append(jsontext.AppendString(append(e.tail, ','), []byte(name)), ':')
		e.tail = jsontext.AppendString(e.tail, []byte(all[name]))
	}
	e.tail = append(e.tail, "}\n"...)
	return e
}

// own are the fields that are written here, or objects of them: a line's member of that name would have to be of the same kind.
var own = []string{"@timestamp", "message", "stream", "container", "cloud", "host", "service", "labels", "log"}

// taken reports whether a line's member of that name would be refused, or is written here.
func (e *Encoder) taken(name []byte) bool {
	for _, o := range own {
		if len(name) >= len(o) && string(name[:len(o)]) == o && (len(name) == len(o) || name[len(o)] == '.') {
			return true
		}
	}
	return len(name) > 0 && name[0] == '_' || e.given[string(name)]
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	message := r.Line
	e.line.Reset()
	if e.parse {
		message = e.line.Read(message, e.taken)
	}
	dst = appendPlace(append(dst, e.index.action(r.TimeNano)...), r)
	dst = e.clock.Append(append(dst, e.rest...), r.TimeNano)
	dst = jsontext.AppendCut(append(dst, `","message":"`...), message, maxText, router.Cut)
	switch string(r.Source) {
	case "stdout":
		dst = append(dst, `","stream":"stdout","log.offset":`...)
	case "stderr":
		dst = append(dst, `","stream":"stderr","log.offset":`...)
	default:
		dst = append(dst, `","log.offset":`...)
	}
	dst = strconv.AppendInt(dst, max(r.Position, -r.Position), 10)
	return append(append(dst, e.line.Text...), e.tail...)
}
