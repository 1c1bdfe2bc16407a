package options

import (
	"maps"
	"regexp"
	"strings"

	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secret"
)

// Texts that stand for what differs from container to container. They may stand in a name of a log group.
const (
	anyName = "secretref-any-name"
	anyID   = "5ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e7abcd"
)

var quoted = regexp.MustCompile("[\"`]([^\"`]*)[\"`]")

// Permissions returns what these log options mean for any container, and what AWS must allow to who sends its lines. An asterisk stands
// in a resource for what differs from container to container, and for what a reference gives. Whether the options are allowed on this host
// is not asked.
func (r *Rules) Permissions(given map[string]string) (Options, []router.Permission, error) {
	info := Info{
		ContainerID: anyID, ContainerName: "/" + anyName, ContainerImageID: "sha256:" + anyID, ContainerImageName: anyName, ContainerEntrypoint: anyName,
		DaemonName: anyName, ContainerLabels: map[string]string{},
	}
	all := maps.Clone(given)
	maps.Copy(all, r.Destinations[given[destination]])
	for name := range strings.SplitSeq(all["labels"]+","+all["env"], ",") {
		info.ContainerLabels[name] = anyName
	}
	if n, err := r.native(all); err == nil { // otherwise Parse says what is wrong
		for _, text := range n.config {
			for _, m := range quoted.FindAllStringSubmatch(text, -1) { // which may be the name of a label in a template
				info.ContainerLabels[m[1]] = anyName
			}
		}
	}
	here := *r
	here.Hostname, here.AllowRouters, here.AllowRoles, here.References = anyName, nil, []string{"*"}, references.Allowed{}
	o, err := here.Parse(given, info)
	if err != nil {
		return o, nil, err
	}
	k := here.kind(o.Router)
	if k.Permissions == nil {
		return o, nil, nil
	}
	plain := maps.Clone(o.Plain)
	for _, name := range k.Names(func(o router.Option) bool { return o.Template }) {
		if text, ok := plain[name]; ok {
			plain[name] = strings.NewReplacer(anyID, "*", short(anyID), "*", anyName, "*").Replace(text)
		}
	}
	hidden := map[string]secret.Source{}
	for name := range o.References {
		hidden[name] = nil // it is not asked
	}
	return o, k.Permissions(router.Options{Plain: plain, Secrets: hidden}.Unresolved()), nil
}
