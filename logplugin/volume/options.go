package volume

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/secretref"
)

// Limits of one volume.
const (
	maxFiles     = 64
	maxBytes     = 4 << 20 // of all values together
	maxName      = 200     // bytes of the name of a volume or a file
	maxOptions   = 1000    // options that Parse looks at; more are refused unread
	maxReference = 4096    // bytes
)

// Options of a volume, as in docker volume create --opt.
const (
	secretsOption = "secrets"
	dot           = secretsOption + "."
	modeOption    = "mode"
	uidOption     = "uid"
	gidOption     = "gid"
	failureOption = "secret-failure"
)

// Failure says what a Mount does while AWS does not answer.
type Failure string

// The values of secret-failure.
const (
	FailureAuto  Failure = "auto"  // refuse a volume that was never mounted; otherwise wait, and mount without the missing files
	FailureFail  Failure = "fail"  // refuse
	FailureStart Failure = "start" // mount without the missing files, at once
)

// File is one file of a volume.
type File struct {
	Name string
	Ref  secretref.Ref
}

// Spec is what the options of a volume say.
type Spec struct {
	Files    []File // by name
	Mode     uint32 // permission bits of each file
	UID, GID int    // -1 = the driver's own, which is 0
	Failure  Failure
}

var (
	volumeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)
	fileName   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)
)

// checkName checks the name of a volume, which is a file name in the state directory and on the tmpfs.
func checkName(name string) error {
	if len(name) > maxName || !volumeName.MatchString(name) {
		return fmt.Errorf("the name of a volume has 1 to %d letters, digits and _.-, and begins with a letter or a digit", maxName)
	}
	return nil
}

func checkFileName(name string) error {
	if !fileName.MatchString(name) || name == "." || strings.HasPrefix(name, "..") {
		return fmt.Errorf("%s has a file name that is not valid: 1 to %d letters, digits and ._-, and neither . nor two dots at its beginning", secretsOption, maxName)
	}
	return nil
}

// Parse reads the options of a volume. Texts may be secrets that somebody put in the place of a reference: errors do not
// quote them.
func Parse(options map[string]string) (Spec, error) {
	s := Spec{Mode: 0o444, UID: -1, GID: -1, Failure: FailureAuto}
	if len(options) > maxOptions {
		return s, fmt.Errorf("there are %d options; a volume has at most %d files", len(options), maxFiles)
	}
	texts := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if err := s.read(name, options[name], texts); err != nil {
			return Spec{}, err
		}
	}
	switch {
	case len(texts) == 0 && len(options) == 0:
		return Spec{}, errors.New("a volume needs options that name its secrets; -v with --volume-driver carries none, so use " +
			"--mount with volume-opt=secrets.FILE=REFERENCE, or docker volume create first")
	case len(texts) == 0:
		return Spec{}, errors.New("no option names a secret; add secrets.FILE=REFERENCE")
	case len(texts) > maxFiles:
		return Spec{}, fmt.Errorf("the options name %d files; a volume has at most %d", len(texts), maxFiles)
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if err := checkFileName(name); err != nil {
			return Spec{}, err
		}
		if len(texts[name]) > maxReference {
			return Spec{}, fmt.Errorf("the reference of %s%s is longer than %d bytes", dot, name, maxReference)
		}
		ref, err := references.Parse(texts[name])
		if err != nil {
			return Spec{}, fmt.Errorf("volume option %s%s: %w", dot, name, err)
		}
		s.Files = append(s.Files, File{name, ref})
	}
	return s, nil
}

// read reads one option. The references go to texts, by the name of their file.
func (s *Spec) read(name, text string, texts map[string]string) (err error) {
	switch {
	case strings.HasPrefix(name, dot):
		err = addText(texts, strings.TrimPrefix(name, dot), text)
	case name == secretsOption:
		err = addList(texts, text)
	case name == modeOption:
		var mode uint64
		if mode, err = strconv.ParseUint(text, 8, 32); err != nil || mode > 0o777 || mode&0o111 != 0 {
			return fmt.Errorf("volume option %s is not a mode of a file in octal without execute bits, as in 0400", name)
		}
		s.Mode = uint32(mode)
	case name == uidOption:
		s.UID, err = parseID(name, text)
	case name == gidOption:
		s.GID, err = parseID(name, text)
	case name == failureOption:
		s.Failure = Failure(text)
		if !slices.Contains([]Failure{FailureAuto, FailureFail, FailureStart}, s.Failure) {
			return fmt.Errorf("volume option %s is not auto, fail or start", name)
		}
	default:
		return unknown(name)
	}
	return err
}

// unknown names the option that was meant. What stands in the place of a name may be long.
func unknown(name string) error {
	known := []string{dot + "FILE", secretsOption, modeOption, uidOption, gidOption, failureOption}
	shown := name[:min(len(name), 60)]
	near := config.Nearest(shown, known)
	if table, _, dotted := strings.Cut(shown, "."); dotted && config.Nearest(table, []string{secretsOption}) != "" {
		near = known[0]
	}
	if near != "" {
		return fmt.Errorf("unknown volume option %q; did you mean %s?", shown, near)
	}
	return fmt.Errorf("unknown volume option %q; known are %s", shown, strings.Join(known, ", "))
}

func addList(texts map[string]string, text string) error {
	if len(text) > maxFiles*2*maxReference {
		return fmt.Errorf("volume option %s is too long", secretsOption)
	}
	entries, err := references.ParseList(text)
	if err != nil {
		return fmt.Errorf(`volume option %s %w; write [{"name":"FILE","valueFrom":"REFERENCE"}]`, secretsOption, err)
	}
	for _, e := range entries {
		if err := addText(texts, e.Name, e.ValueFrom); err != nil {
			return err
		}
	}
	return nil
}

func addText(texts map[string]string, name, text string) error {
	if _, twice := texts[name]; twice {
		return fmt.Errorf("the options name the file %q twice", name[:min(len(name), 60)])
	}
	texts[name] = text
	return nil
}

func parseID(option, text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("volume option %s is not a number from 0 to %d", option, 1<<31-1)
	}
	return int(n), nil //nolint:gosec // 31 bits
}
