package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"edge"
	"edge/proxy/compress"
	"edge/proxy/pool"
)

// Server is the front door. Create it with New, give it its first Settings
// with Apply, end it with Shutdown. All methods are safe for concurrent use.
type Server struct {
	opts      Options
	log       *slog.Logger
	obs       Observer
	tls       *tlsConfigs
	tlsConfig *tls.Config // chooses among tls and the challenges
	state     atomic.Pointer[state]
	ids       requestIDs

	// ctx ends when connections are closed by force; stopping when no new ones are taken.
	ctx      context.Context
	cancel   context.CancelFunc
	stopping chan struct{}
	wg       sync.WaitGroup // accept loops, handshakes, engines

	applyMu   sync.Mutex // one Apply or Shutdown at a time
	listeners map[string][]*listener
	unused    []*listener                 // inherited, and not in use
	packets   map[string][]net.PacketConn // likewise; nil until asked for
	engines   []*engine
	stopped   bool
	retired   []*pool.Pool // that requests may still have

	connMu     sync.Mutex
	conns      map[*conn]struct{}
	perAddress map[netip.Addr]int
	spares     []*conn // admitted beyond the limit, oldest first: see spare
	closing    bool

	retiring atomic.Bool // answers are the last ones on their HTTP/1 connections

	load atomic.Int64 // requests in progress that count for Limits.Requests
	down sync.Map     // address of a server of a Forward -> time.Time until which it is tried last

	encoders    compress.Encoders
	exchanges   sync.Pool // *exchange
	buffers     sync.Pool // *[copyBuffer]byte
	heldBuffers sync.Pool // *[heldBytes]byte
	tunnels     tunnels
	flights     inFlight
	quic        quicState
	panics      panicLog
}

// New returns a server that listens nowhere yet.
func New(opts Options) *Server {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Observer == nil {
		opts.Observer = noObserver{}
	}
	if opts.Inherited == nil {
		opts.Inherited = ServiceSockets
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{
		opts: opts, log: opts.Log.With("component", "proxy"), obs: opts.Observer, tls: newTLSConfigs(),
		stopping:   make(chan struct{}),
		listeners:  map[string][]*listener{},
		conns:      map[*conn]struct{}{},
		perAddress: map[netip.Addr]int{},
	}
	s.ids.prefix = randomPrefix()
	s.exchanges.New = newExchange
	s.heldBuffers.New = func() any { return new([heldBytes]byte) }
	s.buffers.New = func() any { return new([copyBuffer]byte) }
	s.quic.init(opts.QUICKey)
	s.tlsConfig = &tls.Config{GetConfigForClient: s.configFor}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// ErrStopped is returned by Apply after Shutdown.
var ErrStopped = errors.New("the server has been shut down")

// Apply makes set the live configuration. Every new address is bound before
// anything changes: after an error all is as it was. Listeners whose address
// stays are kept, as are connections, streams and tunnels; pools that set does
// not name any more have the time that Options.Drain of a pool gives them.
func (s *Server) Apply(set Settings) error {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if s.stopped {
		return ErrStopped
	}
	if set.Table == nil {
		return errors.New("apply settings: no policy table")
	}
	next, err := s.bindAll(&set)
	if err != nil {
		return err
	}
	nextQUIC, err := s.bindQUIC(&set, next)
	if err != nil {
		s.closeNew(next)
		return err
	}
	old := s.state.Load()
	st := &state{set: &set, engine: s.engineFor(set.Limits.withDefaults()), flights: s.flights.keep(set.Table.Names())}
	st.auth = s.clientAuthConfigs(st)
	s.state.Store(st)
	s.swapListeners(next)
	s.swapQUIC(nextQUIC)
	s.pruneEngines()
	if old != nil {
		for _, p := range vanished(old.set.Pools, set.Pools) {
			p.Retire()
			s.retired = append(s.retired, p)
		}
	}
	s.retired = slices.DeleteFunc(s.retired, (*pool.Pool).Closed)
	return nil
}

// bindAll returns the listeners of set by key: kept ones as they are, new ones bound.
func (s *Server) bindAll(set *Settings) (map[string][]*listener, error) {
	if err := s.takeOver(); err != nil {
		return nil, err
	}
	next := map[string][]*listener{}
	wanted := wantedListeners(set)
	leaving := s.spareSockets()
	for key, ls := range s.listeners {
		if !slices.ContainsFunc(wanted, func(w wantedListener) bool { return w.key == key }) {
			leaving = append(leaving, ls...)
		}
	}
	for _, w := range wanted {
		if kept := s.listeners[w.key]; kept != nil {
			next[w.key] = kept
			continue
		}
		ls, err := s.bind(w.address, leaving)
		if err != nil {
			s.closeNew(next)
			return nil, err
		}
		next[w.key] = ls
	}
	return next, nil
}

// closeNew takes back what bindAll began: it closes what was bound, and keeps what
// was inherited.
func (s *Server) closeNew(next map[string][]*listener) {
	have := members(s.listeners)
	for _, l := range s.unused {
		have[l] = true
	}
	for l := range members(next) {
		switch {
		case have[l]:
		case l.inherited:
			s.unused = append(s.unused, l)
		default:
			l.Close()
		}
	}
}

// members is the set of all listeners of a map.
func members(m map[string][]*listener) map[*listener]bool {
	set := map[*listener]bool{}
	for _, ls := range m {
		for _, l := range ls {
			set[l] = true
		}
	}
	return set
}

// swapListeners starts what is new in next, gives everything its role, and
// closes what is no longer there.
func (s *Server) swapListeners(next map[string][]*listener) {
	for _, w := range wantedListeners(s.state.Load().set) {
		for _, l := range next[w.key] {
			l.role.Store(w.role)
		}
	}
	before, now := members(s.listeners), members(next)
	for l := range now {
		if !before[l] {
			s.wg.Add(1)
			go s.accept(l)
		}
	}
	s.listeners = next
	s.dropUnused(now)
	maps.DeleteFunc(before, func(l *listener, _ bool) bool { return now[l] })
	closeLeft(slices.Collect(maps.Keys(before)), now)
}

// Addr is a bound address.
type Addr struct {
	Listener string // "http", "https" or "tcp"
	Addr     net.Addr
}

// Addrs lists the bound addresses in the order of the settings.
func (s *Server) Addrs() []Addr {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	st := s.state.Load()
	if st == nil {
		return nil
	}
	var out []Addr
	for _, w := range wantedListeners(st.set) {
		for _, l := range s.listeners[w.key] {
			out = append(out, Addr{w.role.name, l.Listener.Addr()})
		}
	}
	return out
}

// Shutdown stops listening and waits for what is in flight: requests, streams
// and tunnels. When ctx ends or the drain limit is over, the rest is closed,
// and the error says how many connections that were.
func (s *Server) Shutdown(ctx context.Context) error {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	close(s.stopping)
	for _, ls := range s.listeners {
		for _, l := range ls {
			l.Close()
		}
	}
	drain := Limits{}.withDefaults().Drain
	st := s.state.Load()
	if st != nil {
		drain = st.engine.limits.Drain
	}
	ctx, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	s.drain(ctx)
	cut := s.closeConns()
	for _, e := range s.engines {
		e.close()
	}
	s.stopQUIC()
	s.cancel()
	s.wg.Wait()
	s.tunnels.drained(context.Background())
	if st != nil {
		for _, p := range append(vanished(st.set.Pools, nil), s.retired...) {
			p.Close()
		}
	}
	if cut > 0 {
		return fmt.Errorf("shutdown: connections that were still busy and were closed: %d", cut)
	}
	return nil
}

// drain ends idle connections and waits for busy ones until ctx ends.
func (s *Server) drain(ctx context.Context) {
	// net/http gives connections that never said anything five seconds.
	for _, c := range s.openConns() {
		if !c.began.Load() {
			c.Close()
		}
	}
	var wg sync.WaitGroup
	for _, e := range s.engines {
		wg.Go(func() { e.http.Shutdown(ctx) })
	}
	wg.Go(func() { s.drainQUIC(ctx) })
	wg.Go(func() { s.tunnels.drained(ctx) })
	wg.Wait()
}

// closeConns closes every connection that is still open and counts those that
// were in use.
func (s *Server) closeConns() (busy int) {
	s.connMu.Lock()
	s.closing = true
	s.connMu.Unlock()
	for _, c := range s.openConns() {
		if c.began.Load() {
			busy++
		}
		c.Close()
	}
	return busy
}

func (s *Server) openConns() []*conn {
	s.connMu.Lock()
	defer s.connMu.Unlock()
	open := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		open = append(open, c)
	}
	return open
}

// noObserver is the observer of those who want none.
type noObserver struct{}

func (noObserver) Conn(*edge.ConnEvent)           {}
func (noObserver) Handshake(*edge.HandshakeEvent) {}
func (noObserver) Request(*edge.RequestEvent)     {}
func (noObserver) Challenge(*edge.ChallengeEvent) {}
