import NIOHPACK
import NIOHTTP1

/// A response's head as HTTP/2 spells it (RFC 9113 §8.3.2): `:status`, then the fields with names in lower case.
enum HTTP2ResponseFields {
    static func block(_ head: HTTPResponseHead) -> HPACKHeaders {
        var block = HPACKHeaders()
        block.reserveCapacity(head.headers.count + 1)
        block.add(name: ":status", value: self.status(head.status), indexing: .indexable)
        self.add(head.headers, to: &block)
        return block
    }

    static func block(trailers: HTTPHeaders) -> HPACKHeaders {
        var block = HPACKHeaders()
        block.reserveCapacity(trailers.count)
        self.add(trailers, to: &block)
        return block
    }

    private static func add(_ fields: HTTPHeaders, to block: inout HPACKHeaders) {
        for (name, value) in fields {
            let name = Self.lowercased(name)
            switch name {
            // The rules have left these out already; one that slips through would break the connection.
            case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade": continue
            // Different in nearly every response: not worth a place in the client's table, and looking it up costs time.
            case "age", "cache-status", "content-length", "content-range", "date", "etag", "expires", "last-modified",
                "location", "set-cookie":
                block.add(name: name, value: value, indexing: .nonIndexable)
            default: block.add(name: name, value: value, indexing: .indexable)
            }
        }
    }

    private static func status(_ status: HTTPResponseStatus) -> String {
        switch status {
        case .ok: "200"
        case .notModified: "304"
        case .notFound: "404"
        default: String(status.code)
        }
    }

    private static func lowercased(_ name: String) -> String {
        name.utf8.contains { $0 &- UInt8(ascii: "A") < 26 } ? name.lowercased() : name
    }
}
