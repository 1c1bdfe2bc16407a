package router

// IsSecret reports whether the option's value came by reference: it is shown nowhere.
func (v *Values) IsSecret(name string) bool {
	_, hidden := v.secrets[name]
	return hidden
}
