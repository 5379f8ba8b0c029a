package pool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"edge/proxy/policy"
	"edge/proxy/upstream"
)

// The gRPC health checking protocol (grpc.health.v1), by hand: a request and an answer of
// one field each are no reason for a library.

// checkGRPC asks a server whether a service is well; "" is the server as a whole.
func checkGRPC(ctx context.Context, s *upstream.Server, host, service string) error {
	body := grpcMessage(healthRequest(service))
	res, err := s.RoundTrip(ctx, &upstream.Request{
		Method: http.MethodPost, Target: "/grpc.health.v1.Health/Check", Host: host,
		Header: []policy.Field{{Name: "Content-Type", Value: "application/grpc"}, {Name: "Te", Value: "trailers"}},
		Body:   bytes.NewReader(body), ContentLength: int64(len(body)),
	})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.Status != http.StatusOK {
		return fmt.Errorf("status %d", res.Status)
	}
	if t := field(res.Header, "Content-Type"); !strings.HasPrefix(t, "application/grpc") {
		return fmt.Errorf("an answer of type %q, which is not gRPC", t)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxHealthAnswer+1))
	if err != nil {
		return err
	}
	if len(b) > maxHealthAnswer {
		return fmt.Errorf("an answer of more than %d bytes", maxHealthAnswer)
	}
	trailer := res.Header // of an answer that has no message
	if res.Trailer != nil && field(trailer, "Grpc-Status") == "" {
		trailer = res.Trailer()
	}
	if code := field(trailer, "Grpc-Status"); code != "0" {
		return grpcFailure(code, field(trailer, "Grpc-Message"))
	}
	status, err := healthStatus(b)
	if err == nil && status != serving {
		err = fmt.Errorf("the service is %s", healthNames(status))
	}
	return err
}

// maxHealthAnswer bounds an answer, which has some seven bytes.
const maxHealthAnswer = 1 << 10

func field(list []policy.Field, name string) string {
	for _, f := range list {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

func grpcFailure(code, message string) error {
	if m, err := url.PathUnescape(message); err == nil {
		message = m
	}
	message = strings.ToValidUTF8(message[:min(len(message), 200)], "?")
	switch code {
	case "":
		return errors.New("the answer has no grpc-status")
	case "5":
		return errors.New("the server does not know the service (NOT_FOUND)")
	case "12":
		return errors.New("the server does not have the health service (UNIMPLEMENTED)")
	}
	return fmt.Errorf("grpc-status %.10q: %q", code, message)
}

// serving is SERVING of HealthCheckResponse.ServingStatus.
const serving = 1

func healthNames(status uint64) string {
	switch status {
	case 0:
		return "UNKNOWN"
	case 2:
		return "NOT_SERVING"
	case 3:
		return "SERVICE_UNKNOWN"
	}
	return fmt.Sprintf("in state %d", status)
}

// grpcMessage frames a message that is not compressed.
func grpcMessage(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)
}

// healthRequest is HealthCheckRequest{service = 1: string}.
func healthRequest(service string) []byte {
	if service == "" {
		return nil
	}
	return append(binary.AppendUvarint([]byte{1<<3 | wireBytes}, uint64(len(service))), service...)
}

// Wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errHealthAnswer = errors.New("the answer is no HealthCheckResponse")

// healthStatus reads one message with HealthCheckResponse{status = 1: enum}. Fields that
// it does not know are skipped; of several values the last counts.
func healthStatus(b []byte) (status uint64, err error) {
	if len(b) < 5 || b[0] != 0 || int(binary.BigEndian.Uint32(b[1:])) != len(b)-5 {
		return 0, errHealthAnswer
	}
	for b = b[5:]; len(b) > 0; {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 {
			return 0, errHealthAnswer
		}
		b = b[n:]
		value, n := binary.Uvarint(b)
		switch key & 7 {
		case wireVarint:
			if n <= 0 {
				return 0, errHealthAnswer
			}
			if key>>3 == 1 {
				status = value
			}
		case wireBytes:
			if n <= 0 || value > uint64(len(b)-n) {
				return 0, errHealthAnswer
			}
			n += int(value)
		case wireFixed64:
			n = 8
		case wireFixed32:
			n = 4
		default:
			return 0, errHealthAnswer
		}
		if n > len(b) {
			return 0, errHealthAnswer
		}
		b = b[n:]
	}
	return status, nil
}
