import HTTPCaching
import HTTPFields
import HTTPForwarding
import NIOCore
import NIOHTTP1

// Between the caching modules, whose fields are bytes, and what of the edge still speaks swift-nio's strings. To be deleted with
// its last use.

extension FieldSection {
    /// Names and values have passed HTTPForwarding's checks; what is no field all the same is left out.
    init(_ headers: HTTPHeaders) {
        var builder = FieldSectionBuilder()
        for (name, value) in headers {
            let bytes = Array(value.utf8)
            let trimmed = bytes.span.trimmed(0..<bytes.count)
            try? builder.add(name: name.utf8, value: bytes[trimmed])
        }
        self = builder.section
    }

    var headers: HTTPHeaders {
        HTTPHeaders(self.map { (self.text($0.name), self.text($0.value)) })
    }
}

extension RequestMethod {
    init(_ method: HTTPMethod) {
        self =
            switch method {
            case .GET: .get
            case .HEAD: .head
            case .POST: .post
            case .PUT: .put
            case .DELETE: .delete
            case .CONNECT: .connect
            case .OPTIONS: .options
            case .TRACE: .trace
            case .PATCH: .patch
            default: .other
            }
    }
}

extension BodyFraming {
    init(_ framing: OldBodyFraming) {
        self =
            switch framing {
            case .none: .none
            case .length(let length): .length(length)
            case .chunked: .chunked
            case .untilClose: .untilClose
            }
    }
}

extension HTTPHeaders {
    mutating func remove(_ fields: KnownFieldSet) {
        for field in KnownField.allCases where fields.contains(field) {
            self.remove(name: String(decoding: field.name, as: UTF8.self))
        }
    }
}

extension OriginRequest {
    func apply(to headers: inout HTTPHeaders) {
        headers.remove(self.removed)
        for (name, value) in self.added.headers { headers.add(name: name, value: value) }
    }
}

extension FieldEdits {
    func apply(to headers: inout HTTPHeaders) {
        for name in self.remove { headers.remove(name: name.text) }
        for field in self.add { headers.add(name: field.name, value: field.value) }
    }
}

extension Answer {
    var statusLine: HTTPResponseStatus {
        HTTPResponseStatus(
            statusCode: self.status, reasonPhrase: String(decoding: self.head.reason, as: UTF8.self))
    }

    /// With `Age`.
    var headers: HTTPHeaders {
        var headers = self.head.section.headers
        if let age = self.age { headers.add(name: "Age", value: String(age)) }
        return headers
    }
}
