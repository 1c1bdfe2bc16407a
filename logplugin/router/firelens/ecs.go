package firelens

import (
	"fmt"
	"strings"
)

// Labels that the ECS agent puts on the containers of a task. Others may put them on theirs, too.
const (
	clusterLabel  = "com.amazonaws.ecs.cluster"
	taskLabel     = "com.amazonaws.ecs.task-arn"
	familyLabel   = "com.amazonaws.ecs.task-definition-family"
	revisionLabel = "com.amazonaws.ecs.task-definition-version"
)

// labelOf is the template of a label.
func labelOf(name string) string { return fmt.Sprintf("{{index .ContainerLabels %q}}", name) }

// metadata are the members that the ECS agent adds to each record, of a container that has its labels.
var metadata = map[string]string{
	"ecs_cluster":         labelOf(clusterLabel),
	"ecs_task_arn":        labelOf(taskLabel),
	"ecs_task_definition": fmt.Sprintf("{{with index .ContainerLabels %q}}{{.}}:{{end}}", familyLabel) + labelOf(revisionLabel),
}

// withMetadata returns the members that ECS adds, unless the options say that there are to be none.
func (t *translation) withMetadata() map[string]string {
	if e := t.find("enable-ecs-log-metadata"); e != nil && strings.EqualFold(e.whole(), "false") {
		return nil
	}
	return metadata
}
