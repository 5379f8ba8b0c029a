package heroku

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	startPolls = 60 // looks at dynos that are starting
	startPause = 5 * time.Second
	// prebootTime is how long the old dynos answer at most when the new ones are up: two
	// minutes and the app's boot timeout, which is a minute, and three at most.
	prebootTime = 6 * time.Minute
)

// started waits until all web dynos of an app run its newest release. Preboot says that
// those of the release before go on answering for a while.
func (a *Authenticator) started(ctx context.Context, app string) (preboot bool, err error) {
	var feature struct{ Enabled bool }
	err = a.api.do(ctx, http.MethodGet, app, "/features/preboot", nil, &feature)
	if err != nil && status(err) != http.StatusNotFound {
		return false, err
	}
	var releases []struct{ Version int }
	if _, err := a.api.ask(ctx, http.MethodGet, app, "/releases", "version ..; order=desc,max=1", nil, &releases); err != nil {
		return false, err
	}
	if len(releases) == 0 {
		return false, errors.New("the app has no release; deploy it first")
	}
	newest := releases[0].Version
	for poll := 1; ; poll++ {
		dynos, err := list[dyno](ctx, a.api, app, "/dynos")
		if err != nil {
			return false, err
		}
		web := slices.DeleteFunc(dynos, func(d dyno) bool { return d.Type != "web" })
		if len(web) == 0 {
			return false, errors.New("there is no web dyno to answer; heroku ps:scale web=1 -a " + app)
		}
		i := slices.IndexFunc(web, func(d dyno) bool { return d.Release.Version < newest || d.State != "up" && d.State != "idle" })
		switch {
		case i < 0:
			return feature.Enabled, nil
		case web[i].State == "crashed" && web[i].Release.Version >= newest:
			return false, fmt.Errorf("%.40s has crashed; heroku logs -a %s says why", web[i].Name, app)
		case poll == startPolls:
			return false, fmt.Errorf("%.40s is still %.40s after %v", web[i].Name, web[i].State, startPolls*startPause)
		}
		if err := a.o.Env.Pause(ctx, startPause); err != nil {
			return false, err
		}
	}
}
