package volume

import (
	"context"
	"fmt"

	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/shared/secret"
)

// Check tries the options of a volume without one: the tmpfs, what the options say, and each reference for real. say is called
// for each finding as it is made.
func Check(ctx context.Context, c Config, options map[string]string, say func(what string, err error)) {
	secrets := c.Config.Secrets
	say("tmpfs of volumes: "+secrets.ValuesDir, tree{secrets.ValuesDir, secrets.VolumesDir}.check())
	spec, err := Parse(options)
	say("volume options", err)
	if err != nil {
		return
	}
	asker := references.NewAsker(c.Config, c.Resolver)
	allowed := references.InSecrets(secrets)
	values := map[string]secret.Value{}
	for i, n := range needs("check", spec) {
		what, err := fmt.Sprintf("%s: %s", n.Where, n.Ref), permitted(allowed, spec.Files[i])
		if err == nil {
			r := asker.Resolve(ctx, n)[0]
			if err = r.Err; err == nil {
				what += ", version " + r.VersionID
				values[spec.Files[i].Name] = r.Value
			}
		}
		say(what, err)
	}
	if err := checkSize(values); err != nil {
		say("size of the values", err)
	}
}
