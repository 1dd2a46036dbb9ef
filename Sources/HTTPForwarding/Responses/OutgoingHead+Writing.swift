public import HTTPFields
import HTTPWire
public import NIOCore

extension OutgoingHead {
    /// Writes the head as HTTP/1.1 has it, with its empty line, at the end of a buffer.
    public func write(to buffer: inout ByteBuffer) {
        var writer = self.begin(to: &buffer)
        if let encoded, !self.passesAll {
            let section = encoded.section
            for field in section where self.passes(field, ofEncoded: section) {
                writer.add(field, of: section, to: &buffer)
            }
        }
        if self.fields.isLines, self.passesAll {
            writer.add(lines: self.fields, to: &buffer)
        } else {
            for field in self.fields where self.passes(field) { writer.add(field, of: self.fields, to: &buffer) }
        }
        self.added.forEach { name, value in writer.add(name, value, to: &buffer) }
        writer.add(lines: self.siteFields, to: &buffer)
        if let namedRequest, let name = namedRequest.name {
            name.withBytes(in: namedRequest.fields) { writer.add(RequestName.field, judged: $0, to: &buffer) }
        }
        writer.add(self.connection, to: &buffer)
        writer.finish(self.contentLength.map { .length($0) } ?? self.framing, to: &buffer)
    }

    private func begin(to buffer: inout ByteBuffer) -> HeadWriter {
        if let encoded, self.passesAll {
            HeadWriter(encoded: encoded, to: &buffer)
        } else if let encoded {
            HeadWriter(judgedStatus: encoded.status, to: &buffer) { $0.writeBytes(encoded.reason) }
        } else if let reason {
            HeadWriter(judgedStatus: self.status, to: &buffer) { $0.writeImmutableBuffer(reason) }
        } else {
            HeadWriter(judgedStatus: self.status, to: &buffer) { $0.writeStaticString(ReasonPhrase.usual(self.status)) }
        }
    }

    /// Writes what ends a chunked content: the last chunk, and the trailers, which have been through ``TrailerFields``.
    public static func writeLastChunk(trailers: FieldSection?, to buffer: inout ByteBuffer) {
        var writer = HeadWriter(lastChunkTo: &buffer)
        if let trailers { for field in trailers { writer.add(field, of: trailers, to: &buffer) } }
        writer.finish(.none, to: &buffer)
    }
}

/// The reason phrases of RFC 9110 §15 and of IANA's registry.
enum ReasonPhrase {
    static func usual(_ status: Int) -> StaticString {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 103: "Early Hints"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 203: "Non-Authoritative Information"
        case 204: "No Content"
        case 205: "Reset Content"
        case 206: "Partial Content"
        case 300: "Multiple Choices"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 426: "Upgrade Required"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 451: "Unavailable For Legal Reasons"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 508: "Loop Detected"
        default: ""
        }
    }
}
