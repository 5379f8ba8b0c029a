package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// acceptUni takes the unidirectional streams of the client.
func (h *h3conn) acceptUni() {
	for {
		str, err := h.q.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		h.wg.Go(func() {
			defer str.ReleaseStreamCredit()
			if err := h.uni(str); err != nil {
				if f, ok := errors.AsType[*h3Fault](err); ok {
					h.q.CloseWithError(f.code, f.reason)
				}
			}
		})
	}
}

// uni reads one of them. The streams of QPACK have nothing to say, since the
// dynamic table has no room.
func (h *h3conn) uni(str *quic.ReceiveStream) error {
	str.SetReadDeadline(time.Now().Add(h.limits.HeaderRead))
	br := bufio.NewReaderSize(str, 128)
	kind, err := quicvarint.Read(br)
	if err != nil {
		str.CancelRead(h3StreamCreationError)
		return nil
	}
	switch kind {
	case h3StreamControl, h3StreamEncoder, h3StreamDecoder:
	case h3StreamPush:
		return connFault(h3StreamCreationError, "a client cannot push")
	default:
		str.CancelRead(h3StreamCreationError)
		return nil
	}
	h.mu.Lock()
	twice := h.have[kind]
	h.have[kind] = true
	h.mu.Unlock()
	if twice {
		return connFault(h3StreamCreationError, "a second stream of a type that there is one of")
	}
	if kind == h3StreamControl {
		if err = readControl(str, br); err == nil {
			return nil
		}
	} else {
		str.SetReadDeadline(time.Time{})
		_, err = io.Copy(io.Discard, br)
	}
	if _, ok := errors.AsType[*h3Fault](err); ok {
		return err
	}
	if h.q.Context().Err() != nil {
		return nil
	}
	return connFault(h3ClosedCriticalStream, "a stream was closed that must stay open")
}

// maxControlFrames bounds the frames on a client's control stream: it has no
// need for more than a few.
const maxControlFrames = 1000

// readControl reads the client's control stream, which never ends: SETTINGS,
// then whatever may come, of which nothing is of interest.
func readControl(str *quic.ReceiveStream, br *bufio.Reader) error {
	for n := range maxControlFrames {
		kind, err := quicvarint.Read(br)
		if err != nil {
			return err
		}
		size, err := quicvarint.Read(br)
		if err != nil {
			return err
		}
		switch {
		case n == 0 && kind != h3Settings:
			return connFault(h3MissingSettings, "the control stream does not begin with SETTINGS")
		case n > 0 && kind == h3Settings:
			return connFault(h3FrameUnexpected, "SETTINGS twice")
		case kind == h3Data, kind == h3Headers, kind == 0x2, kind == 0x5, kind == 0x6, kind == 0x8, kind == 0x9:
			return connFault(h3FrameUnexpected, "a frame that does not belong on the control stream")
		case size > 16<<10:
			return connFault(h3ExcessiveLoad, "a frame on the control stream is too large")
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(br, body); err != nil {
			return err
		}
		if kind == h3Settings {
			if err := checkSettings(body); err != nil {
				return err
			}
			str.SetReadDeadline(time.Time{})
		}
	}
	return connFault(h3ExcessiveLoad, "too many frames on the control stream")
}

// checkSettings looks for what RFC 9114 section 7.2.4 forbids.
func checkSettings(b []byte) error {
	seen := map[uint64]bool{}
	for len(b) > 0 {
		id, n, err := quicvarint.Parse(b)
		if err != nil {
			return connFault(h3FrameError, "malformed SETTINGS")
		}
		v, m, err := quicvarint.Parse(b[n:])
		if err != nil {
			return connFault(h3FrameError, "malformed SETTINGS")
		}
		b = b[n+m:]
		if seen[id] || id >= 0x2 && id <= 0x5 || id == h3SettingExtendedConnect && v > 1 {
			return connFault(h3SettingsError, "a setting that is forbidden, or twice")
		}
		seen[id] = true
	}
	return nil
}
