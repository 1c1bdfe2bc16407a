package bounded

import (
	"reflect"
	"time"
)

// methodOfTime returns a method of a time, or of what such a method returns.
func methodOfTime(v reflect.Value, name string) (reflect.Value, bool) {
	var list map[string]any
	switch t, _ := reflect.TypeAssert[any](inside(v)); t := t.(type) {
	case time.Time:
		list = methodsOfTime(t)
	case time.Duration:
		list = methodsOfDuration(t)
	case time.Month:
		list = map[string]any{"String": t.String}
	case time.Weekday:
		list = map[string]any{"String": t.String}
	case time.Location:
		list = map[string]any{"String": func() string { return v.Addr().Interface().(*time.Location).String() }}
	}
	f, ok := list[name]
	return reflect.ValueOf(f), ok
}

func methodsOfTime(t time.Time) map[string]any {
	return map[string]any{
		"Add": t.Add, "AddDate": t.AddDate, "After": t.After, "AppendBinary": t.AppendBinary, "AppendFormat": t.AppendFormat,
		"AppendText": t.AppendText, "Before": t.Before, "Compare": t.Compare, "Day": t.Day, "Equal": t.Equal, "Format": t.Format,
		"GoString": t.GoString, "GobEncode": t.GobEncode, "Hour": t.Hour, "In": t.In, "IsDST": t.IsDST, "IsZero": t.IsZero,
		"Local": t.Local, "Location": t.Location, "MarshalBinary": t.MarshalBinary, "MarshalJSON": t.MarshalJSON,
		"MarshalText": t.MarshalText, "Minute": t.Minute, "Month": t.Month, "Nanosecond": t.Nanosecond, "Round": t.Round,
		"Second": t.Second, "String": t.String, "Sub": t.Sub, "Truncate": t.Truncate, "UTC": t.UTC, "Unix": t.Unix,
		"UnixMicro": t.UnixMicro, "UnixMilli": t.UnixMilli, "UnixNano": t.UnixNano, "Weekday": t.Weekday, "Year": t.Year,
		"YearDay": t.YearDay,
	}
}

func methodsOfDuration(d time.Duration) map[string]any {
	return map[string]any{
		"Abs": d.Abs, "Hours": d.Hours, "Microseconds": d.Microseconds, "Milliseconds": d.Milliseconds, "Minutes": d.Minutes,
		"Nanoseconds": d.Nanoseconds, "Round": d.Round, "Seconds": d.Seconds, "String": d.String, "Truncate": d.Truncate,
	}
}
