package proxy

import (
	"bufio"
	"errors"
	"io"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// Frame and stream types, settings and error codes of HTTP/3 (RFC 9114
// sections 6.2, 7.2 and 8.1, RFC 9220, RFC 9204 section 6).
const (
	h3Data     = 0x0
	h3Headers  = 0x1
	h3Settings = 0x4
	h3GoAway   = 0x7

	h3StreamControl = 0x0
	h3StreamPush    = 0x1
	h3StreamEncoder = 0x2
	h3StreamDecoder = 0x3

	h3SettingFieldSection    = 0x6
	h3SettingExtendedConnect = 0x8

	h3NoError              = 0x100
	h3InternalError        = 0x102
	h3StreamCreationError  = 0x103
	h3ClosedCriticalStream = 0x104
	h3FrameUnexpected      = 0x105
	h3FrameError           = 0x106
	h3ExcessiveLoad        = 0x107
	h3IDError              = 0x108
	h3SettingsError        = 0x109
	h3MissingSettings      = 0x10a
	h3RequestRejected      = 0x10b
	h3RequestCancelled     = 0x10c
	h3RequestIncomplete    = 0x10d
	h3MessageError         = 0x10e
	h3DecompressionFailed  = 0x200
)

// h3Fault is what a client did wrong, and what ends for it: the stream, or the
// connection.
type h3Fault struct {
	code   quic.ApplicationErrorCode
	conn   bool
	reason string
}

func (f *h3Fault) Error() string { return f.reason }

func streamFault(code quic.ApplicationErrorCode, reason string) *h3Fault {
	return &h3Fault{code: code, reason: reason}
}

func connFault(code quic.ApplicationErrorCode, reason string) *h3Fault {
	return &h3Fault{code: code, conn: true, reason: reason}
}

// requestFrame reads frame headers of a request stream up to DATA or HEADERS.
// Frames of unknown types are skipped (RFC 9114 section 9), within a limit: they
// are of no use here. io.EOF means that the stream ended between two frames.
func requestFrame(br *bufio.Reader, skip int64) (kind, size uint64, err error) {
	for {
		if kind, err = quicvarint.Read(br); err != nil {
			return 0, 0, err
		}
		if size, err = quicvarint.Read(br); err != nil {
			return 0, 0, unexpectedEnd(err)
		}
		switch kind {
		case h3Data, h3Headers:
			return kind, size, nil
		case h3Settings, h3GoAway, 0x2, 0x3, 0x5, 0x6, 0x8, 0x9, 0xd:
			return 0, 0, connFault(h3FrameUnexpected, "a frame that does not belong on a request stream")
		}
		if size > uint64(skip) {
			return 0, 0, streamFault(h3ExcessiveLoad, "too many bytes in frames of unknown types")
		}
		skip -= int64(size)
		if _, err = io.CopyN(io.Discard, br, int64(size)); err != nil {
			return 0, 0, unexpectedEnd(err)
		}
	}
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
