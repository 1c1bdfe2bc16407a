package config

// RestartNeeded returns the keys whose values differ between the configuration with which a log driver was started and
// one that was loaded since, of those that it cannot change while it runs.
func RestartNeeded(old, new *Config) []string {
	var keys []string
	if old.Logs.StateDir != new.Logs.StateDir {
		keys = append(keys, "logs.state_dir")
	}
	if old.Logs.MetricsAddress != new.Logs.MetricsAddress {
		keys = append(keys, "logs.metrics_address")
	}
	if old.Secrets.ValuesDir != new.Secrets.ValuesDir || old.Secrets.VolumesDir != new.Secrets.VolumesDir {
		keys = append(keys, "secrets.values_dir", "secrets.volumes_dir")
	}
	return keys
}
