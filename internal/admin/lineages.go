package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"edge"
)

const (
	// maxLineage bounds chain and key of a lineage together, in bytes.
	maxLineage = 256 << 10
	// maxReport bounds the report of a run: MaxReportLineages entries of 800 bytes.
	maxReport = 4 << 20
)

// Lineages asks which lineages the door's configuration uses, and what it has
// of each.
func (c *Client) Lineages(ctx context.Context) ([]edge.LineageStatus, error) {
	var l Lineages
	err := c.call(ctx, http.MethodGet, "/v1/lineages", nil, &l)
	return l.Lineages, err
}

// PutLineage gives the door the chain and key of a lineage, and returns what it
// serves from then on. The same bundle may be put again. The error wraps
// ErrNotFound where no site of the door uses the lineage, and ErrRefused where
// the bundle cannot be served.
func (c *Client) PutLineage(ctx context.Context, name string, b edge.Bundle) (*edge.LineageStatus, error) {
	if err := edge.CheckLineageName(name); err != nil {
		return nil, err
	}
	var st edge.LineageStatus
	err := c.call(ctx, http.MethodPut, "/v1/lineages/"+url.PathEscape(name), Certificate{string(b.Chain), string(b.Key)}, &st)
	return &st, err
}

// PutStewardReport tells the door how a run of the steward went, for its metrics.
func (c *Client) PutStewardReport(ctx context.Context, r edge.StewardReport) error {
	return c.call(ctx, http.MethodPut, "/v1/steward/report", r.Bounded(), nil)
}

func (s *Server) lineages(w http.ResponseWriter, _ *http.Request) {
	list := s.o.Backend.Lineages()
	if list == nil {
		list = []edge.LineageStatus{}
	}
	reply(w, http.StatusOK, Lineages{list})
}

func (s *Server) putLineage(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if err := edge.CheckLineageName(name); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	var c Certificate
	// In JSON every line of a PEM block takes a byte more; what is meant to fit has room.
	if err := decode(w, r, 2*maxLineage, &c); err != nil {
		fail(w, http.StatusBadRequest, fmt.Sprintf("lineage %s: %v", name, err))
		return
	}
	if n := len(c.Chain) + len(c.Key); n > maxLineage {
		fail(w, http.StatusBadRequest, fmt.Sprintf("lineage %s: chain and key have %d bytes, at most %d are taken", name, n, maxLineage))
		return
	}
	st, err := s.o.Backend.PutLineage(r.Context(), name, edge.Bundle{Chain: []byte(c.Chain), Key: []byte(c.Key)})
	switch {
	case errors.Is(err, ErrNotFound):
		fail(w, http.StatusNotFound, err.Error())
	case errors.Is(err, ErrRefused):
		fail(w, http.StatusUnprocessableEntity, err.Error())
	case err != nil:
		fail(w, http.StatusInternalServerError, err.Error())
	default:
		reply(w, http.StatusOK, st)
	}
}

func (s *Server) stewardReport(w http.ResponseWriter, r *http.Request) {
	var rep edge.StewardReport
	err := decode(w, r, maxReport, &rep)
	if err == nil {
		err = rep.Check()
	}
	if err != nil {
		fail(w, http.StatusBadRequest, fmt.Sprintf("report: %v", err))
		return
	}
	if err := s.o.Backend.StewardReport(rep); err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
