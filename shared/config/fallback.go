package config

import "slices"

// fallbackKeys are those that say where and how much the log driver keeps, and where it says how it is.
var fallbackKeys = []string{"state_dir", "spool_max_bytes", "spool_total", "spool_min_free", "read_logs", "history_total", "keep_ended", "metrics_address"}

// Fallback returns what the log driver needs to go on reading containers' logs while Load fails: where it keeps them. It
// takes that from whatever can be read, and defaults for the rest. No reference may be named, and no router reached:
// which ones may is what the broken text cannot say.
func Fallback(opts Options) *Config {
	cfg := defaults()
	keys := map[string][]key{
		"logs":    slices.DeleteFunc(tableKeys(cfg, "logs"), func(k key) bool { return !slices.Contains(fallbackKeys, k.name) }),
		"secrets": slices.DeleteFunc(tableKeys(cfg, "secrets"), func(k key) bool { return k.name == "allow_references" }),
	}
	for _, s := range opts.read() {
		if s.err != nil {
			continue // it may be a stranger's
		}
		items, _ := parse(s.path, s.data) // those before the mistake
		for _, it := range items {
			if len(it.path) != 2 {
				continue
			}
			if k, ok := find(keys[it.path[0]], it.path[1]); ok {
				_ = k.set(it.value) // a bad value leaves what was there
			}
		}
	}
	l := loader{cfg: cfg, given: map[string]given{}}
	for _, pair := range opts.Environ {
		_ = l.environ([]string{pair})
	}
	cfg.Logs.AllowReferences, cfg.Logs.AllowRouters = []string{}, []string{}
	cfg.Secrets.AllowReferences = nil
	cfg.Logs.DefaultDestination = "" // it would name one of which nothing is known
	return cfg
}
