package metrics

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"edge/internal/durable"
)

// Delivery is how a certificate stands at one place that it is delivered to.
type Delivery struct {
	Name      string // of the lineage or the host
	Target    string // "files"
	Place     string // the folder, the program
	InSync    bool   // as far as anybody can see
	Delivered time.Time
	Verified  time.Time // when the live server was last seen to show it
	Attempt   time.Time
	Failures  int // in a row
}

// deliveryFamily is a gauge with one series for each delivery.
type deliveryFamily struct {
	name, help string
	value      func(*Delivery) (v float64, known bool)
}

func since(t time.Time) (float64, bool) { return seconds(t), !t.IsZero() }

// deliveryFamilies are the metrics of deliveries. The labels of all are name, target
// and place, which the configuration has, and so bounds.
func deliveryFamilies() []deliveryFamily {
	return []deliveryFamily{
		{"edge_delivery_in_sync", "Whether the certificate was where it should be, and shown by the live server where that is looked at, when last seen.", func(d *Delivery) (float64, bool) {
			if d.InSync {
				return 1, true
			}
			return 0, true
		}},
		{"edge_delivery_failures", "Failed attempts in a row to deliver the certificate.", func(d *Delivery) (float64, bool) { return float64(d.Failures), true }},
		{"edge_delivery_last_attempt_timestamp_seconds", "When something was done about the delivery last.", func(d *Delivery) (float64, bool) { return since(d.Attempt) }},
		{"edge_delivery_last_success_timestamp_seconds", "When the certificate was delivered last.", func(d *Delivery) (float64, bool) { return since(d.Delivered) }},
		{"edge_delivery_last_verified_timestamp_seconds", "When the live server was last seen to show the certificate.", func(d *Delivery) (float64, bool) { return since(d.Verified) }},
	}
}

// deliverySeen is when anybody looked.
const (
	deliverySeen     = "edge_delivery_last_run_timestamp_seconds"
	deliverySeenHelp = "When deliveries were made or looked at last."
)

// WriteDeliveries writes a file for the textfile collector of Prometheus's node
// exporter, in place of the one that is there. Of deliveries with equal labels the one
// that is not in sync is told of.
func WriteDeliveries(path string, list []Delivery, now time.Time) error {
	if err := (durable.Writer{}).WriteFile(path, deliveriesText(list, now), 0o644); err != nil {
		return fmt.Errorf("metrics file %s: %w", path, err)
	}
	return nil
}

func deliveriesText(list []Delivery, now time.Time) []byte {
	list = slices.Clone(list)
	labels := func(d *Delivery) string {
		return fmt.Sprintf(`{name="%s",place="%s",target="%s"}`, escape.Replace(d.Name), escape.Replace(d.Place), escape.Replace(d.Target))
	}
	slices.SortFunc(list, func(a, b Delivery) int {
		if c := strings.Compare(labels(&a), labels(&b)); c != 0 || a.InSync == b.InSync {
			return c
		}
		if b.InSync {
			return -1
		}
		return 1
	})
	list = slices.CompactFunc(list, func(a, b Delivery) bool { return labels(&a) == labels(&b) })
	var b bytes.Buffer
	head := func(name, help string) { fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name) }
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	for _, f := range deliveryFamilies() {
		head(f.name, f.help)
		for i := range list {
			if v, known := f.value(&list[i]); known {
				fmt.Fprintf(&b, "%s%s %s\n", f.name, labels(&list[i]), number(v))
			}
		}
	}
	head(deliverySeen, deliverySeenHelp)
	fmt.Fprintf(&b, "%s %s\n", deliverySeen, number(seconds(now)))
	return b.Bytes()
}
