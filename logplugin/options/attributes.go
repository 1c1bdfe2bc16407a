package options

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/bounded"
	"github.com/secretref/secretref/logplugin/router"
)

// maxAttributes bounds what goes with every single line, in bytes.
const maxAttributes = 64 << 10

// maxAbout bounds each text of what describes a container without having been asked for, in bytes.
const maxAbout = 512

// about reads what Compose and Swarm say of the containers that they make. Other labels go nowhere unless they are picked.
func about(info Info) router.About {
	label := func(name string) string {
		text := info.ContainerLabels[name]
		return strings.ToValidUTF8(text[:min(len(text), maxAbout)], "")
	}
	a := router.About{Project: label("com.docker.compose.project"), Service: label("com.docker.compose.service")}
	if a.Project == "" && a.Service == "" {
		a.Project, a.Service = label("com.docker.stack.namespace"), label("com.docker.swarm.service.name")
		a.Swarm = a.Project != "" || a.Service != ""
	}
	a.ImageID, a.Created = info.ContainerImageID, info.ContainerCreated
	command := (&tagData{ContainerEntrypoint: info.ContainerEntrypoint, ContainerArgs: info.ContainerArgs}).Command()
	a.Command = strings.ToValidUTF8(command[:min(len(command), maxAbout)], "")
	a.Image = strings.ToValidUTF8(info.ContainerImageName[:min(len(info.ContainerImageName), maxAbout)], "")
	return a
}

// attributes picks labels and variables as Docker does: what the container does not have is left out, an empty value is
// kept, a variable wins over a label of the same name.
//
// One thing is otherwise: versions of Docker between 20.10.24 and 29 overlook labels-regex when labels is not given too.
func attributes(given map[string]string, info Info) (map[string]string, error) {
	picks := map[string]string{}
	for _, source := range []struct {
		option string
		values map[string]string
	}{{"labels", info.ContainerLabels}, {"env", info.ContainerEnv.values()}} {
		for name := range strings.SplitSeq(given[source.option], ",") {
			if value, ok := source.values[name]; ok {
				picks[name] = value
			}
		}
		option := source.option + "-regex"
		if given[option] == "" {
			continue
		}
		p, err := bounded.Compile(given[option])
		if err == nil {
			err = p.Names(maps.Keys(source.values), func(name string) { picks[name] = source.values[name] })
		}
		if err != nil {
			return nil, fmt.Errorf("log-opt %s: %w", option, err)
		}
	}
	size := 0
	for name, value := range picks {
		size += len(name) + len(value)
	}
	if size > maxAttributes {
		return nil, fmt.Errorf("log-opts labels and env pick %d bytes to go with every line, and at most %d can; pick less", size, maxAttributes)
	}
	return picks, nil
}

// addAttributes adds to picks what the templates of a translation give.
func (r *Rules) addAttributes(picks, templates map[string]string, info Info) error {
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		if _, picked := picks[name]; picked {
			continue
		}
		switch text, err := r.render(name, templates[name], info, nil); {
		case err != nil:
			return err
		case text != "":
			picks[name] = text
		}
	}
	return nil
}
