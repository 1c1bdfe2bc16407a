package options

// Differences lists where the options of every router do not do what those of Docker's drivers do, and what they do
// instead. Everything else is the same, and tested against Docker's own drivers.
var Differences = []struct{ Docker, Here string }{
	{"labels-regex picks nothing when labels is not given too, in versions between 20.10.24 and 29",
		"it picks labels all the same"},
	{`tag: {{.ImageID}} counts "sha256:" among its twelve characters, up to 28`,
		"it is twelve digits, as in 29"},
	{"tag: a template sees the container's whole environment, in {{.ContainerEnv}}, and all log options, in {{.Config}}",
		"it sees what labels and env have picked, in {{.ExtraAttributes}}; a container with more in its tag does not start"},
	{"tag, labels-regex and env-regex may take any time, any memory, and give a tag of any length",
		"a template has 100,000 steps, 10 ms of processor time and 4 KiB for its result, a regular expression 1,000 instructions and 10 ms; a container with more does not start"},
	{"an empty value of an option is refused by drivers that check the value",
		"it is as if the option were not given, and takes back what daemon.json gives to all containers"},
	{"a terminal's line (docker run -t) ends in a carriage return",
		"it ends before it, and so does a line of any other container"},
}
