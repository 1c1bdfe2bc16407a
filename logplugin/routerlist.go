package logplugin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/config"
)

// routers lists the log routers, or the options of one, out of the table that options are read with.
func (p Program) routers(_ context.Context, f flags) error {
	kinds := Routers()
	if f.id == "" {
		for _, k := range kinds {
			if _, err := fmt.Fprintln(p.Stdout, k.Name); err != nil {
				return err
			}
		}
		return nil
	}
	var names []string
	for _, k := range kinds {
		if k.Name == f.id {
			return p.describe(k)
		}
		names = append(names, k.Name)
	}
	if near := config.Nearest(f.id, names); near != "" {
		return fmt.Errorf("routers: %q is not a log router; did you mean %s?", f.id, near)
	}
	return fmt.Errorf("routers: %q is not a log router; give one of %s", f.id, strings.Join(names, ", "))
}

// describe prints the options of a router: their names, their defaults, and what may stand in them.
func (p Program) describe(k router.Kind) error {
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	if k.Translate != nil {
		fmt.Fprintln(w, "NAME\tSERVED BY")
		for _, name := range slices.Sorted(maps.Keys(k.Serves)) {
			fmt.Fprintf(w, "%s\t%s\n", name, k.Serves[name])
		}
		return w.Flush()
	}
	fmt.Fprintln(w, "OPTION\tDEFAULT\t")
	for _, o := range k.Options {
		name := o.Name
		if o.Family {
			name += ".NAME"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", name, o.Default, strings.Join(properties(o), ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.Stdout, "\nAny of them may be a reference: secretOptions.OPTION=valueFrom. Every router has %s besides.\n", strings.Join(options.Common(), ", "))
	return err
}

// properties are what there is to know of an option besides its default.
func properties(o router.Option) []string {
	var all []string
	for _, x := range []struct {
		is   bool
		text string
	}{
		{o.Required, "required"}, {o.Credential, "a credential: give a reference"}, {o.Address, "held to allow_routers"}, {o.Template, "a template"},
		{o.Pairs, "NAME=VALUE,NAME=VALUE"}, {o.Session && !o.Credential && !o.Address, "also with a destination"}, {o.Ignored, "without effect here"},
	} {
		if x.is {
			all = append(all, x.text)
		}
	}
	return all
}
