package proxy

import "bytes"

// phase is where in a message a scanner is.
type phase uint8

const (
	startLine phase = iota
	fieldLine
	fixedBody // left bytes to come
	chunkSize
	chunkData   // left bytes to come
	chunkEnd    // the CRLF after them
	trailerLine // after the last chunk
	opaque      // another protocol: not ours to check
)

// scanner follows an HTTP/1 request stream. It holds one line at most, and
// only when the line was split between two reads.
type scanner struct {
	limits *Limits
	phase  phase
	line   []byte // the part of the current line that came in earlier reads
	head   head   // of the message in progress
	left   int64  // bytes of fixedBody or chunkData
	size   int    // bytes of head, chunk line or trailers so far
}

// midHead reports whether a head has begun and not ended.
func (s *scanner) midHead() bool {
	return s.phase == fieldLine || s.phase == startLine && len(s.line) > 0
}

// between reports whether one message has ended and nothing of another has come.
func (s *scanner) between() bool { return s.phase == startLine && len(s.line) == 0 }

// midBody reports whether a body has begun and not ended.
func (s *scanner) midBody() bool { return s.phase > fieldLine && s.phase < opaque }

// feed checks the next bytes of the stream. When it refuses, keep is how many
// of them may be passed on: whole messages before the refused one, and of that
// one nothing that would complete its head.
func (s *scanner) feed(p []byte) (keep int, bad *refusal) {
	start := -1 // where in p the current message began, -1: before p
	if s.phase == startLine && len(s.line) == 0 {
		start = 0
	}
	for i := 0; i < len(p); {
		switch s.phase {
		case fixedBody, chunkData:
			n := min(s.left, int64(len(p)-i))
			s.left -= n
			i += int(n)
			if s.left > 0 {
				continue
			}
			if s.phase == chunkData {
				s.phase = chunkEnd
			} else {
				s.phase, start = startLine, i
			}
			continue
		case opaque:
			return len(p), nil
		}
		inBody := s.phase > fieldLine
		j := bytes.IndexByte(p[i:], '\n')
		if j < 0 {
			if bad = s.partial(p[i:]); bad == nil {
				return len(p), nil
			}
		} else {
			line := p[i : i+j+1]
			if len(s.line) > 0 {
				s.line = append(s.line, line...)
				line = s.line
			}
			bad = s.whole(line)
			s.line = s.line[:0]
		}
		if bad != nil {
			if start >= 0 {
				return start, bad
			}
			bad.inBody = inBody
			return i, bad
		}
		i += j + 1
		if s.phase == startLine {
			start = i
		}
	}
	return len(p), nil
}

// partial keeps the beginning of a line, within the limits of where it stands.
func (s *scanner) partial(p []byte) *refusal {
	if s.line == nil {
		s.line = make([]byte, 0, 256)
	}
	s.line = append(s.line, p...)
	n := len(s.line)
	switch s.phase {
	case startLine:
		if n > s.limits.URIBytes+maxAround {
			return refuseURI
		}
	case fieldLine:
		if s.size+n > s.limits.HeaderBytes {
			return refuseHeader
		}
	case chunkSize:
		if n > maxChunkLine {
			return fault("chunk line too long")
		}
	case chunkEnd:
		if n > 1 || s.line[0] != '\r' {
			return fault("chunk data without CRLF")
		}
	case trailerLine:
		if s.size+n > maxTrailers {
			return refuseHeader
		}
	}
	return nil
}

const (
	maxAround    = 64  // what surrounds the target in a request line
	maxChunkLine = 256 // size and extensions; CVE-2025-22871 lived in long ones
	maxTrailers  = 8 << 10
)

// whole takes a line with its line end.
func (s *scanner) whole(line []byte) *refusal {
	n := len(line)
	if n < 2 || line[n-2] != '\r' {
		return fault("line ends with a bare LF")
	}
	text := line[:n-2]
	switch s.phase {
	case startLine:
		s.head = head{}
		s.size = n
		if bad := s.head.requestLine(text, s.limits); bad != nil {
			return bad
		}
		s.phase = fieldLine
	case fieldLine:
		s.size += n
		if s.size > s.limits.HeaderBytes {
			return refuseHeader
		}
		if len(text) > 0 {
			return s.head.field(text, s.limits)
		}
		return s.endHead()
	case chunkSize:
		size, bad := parseChunkLine(text)
		if bad != nil {
			return bad
		}
		s.left, s.phase, s.size = size, chunkData, 0
		if size == 0 {
			s.phase = trailerLine
		}
	case chunkEnd:
		if len(text) > 0 {
			return fault("chunk data without CRLF")
		}
		s.phase = chunkSize
	case trailerLine:
		s.size += n
		switch {
		case s.size > maxTrailers:
			return refuseHeader
		case len(text) == 0:
			s.phase = startLine
		default:
			return trailerField(text)
		}
	}
	return nil
}

// endHead decides how the body is framed.
func (s *scanner) endHead() *refusal {
	if bad := s.head.check(); bad != nil {
		return bad
	}
	switch h := &s.head; {
	case h.chunked:
		s.phase = chunkSize
	case h.length > 0:
		s.phase, s.left = fixedBody, h.length
	case h.upgrade != "" && h.upgradeNamed:
		s.phase = opaque
	default:
		s.phase = startLine
	}
	return nil
}

// parseChunkLine reads the size of a chunk and checks its extensions.
func parseChunkLine(text []byte) (int64, *refusal) {
	var size int64
	i := 0
	for ; i < len(text); i++ {
		d := unhex(text[i])
		if d < 0 {
			break
		}
		if i == 15 { // 60 bits: more is an attempt at overflow
			return 0, fault("chunk size too large")
		}
		size = size<<4 | int64(d)
	}
	switch {
	case i == 0:
		return 0, fault("chunk size is no number")
	case len(text) > maxChunkLine:
		return 0, fault("chunk line too long")
	}
	ext := bytes.TrimLeft(text[i:], " \t")
	if len(ext) > 0 && ext[0] != ';' || len(ext) == 0 && i < len(text) {
		return 0, fault("chunk size is no number")
	}
	if !isFieldValue(ext) {
		return 0, fault("control character in a chunk extension")
	}
	return size, nil
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
