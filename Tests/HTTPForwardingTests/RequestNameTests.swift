import Foundation
import HTTPFields
import HTTPForwarding
import NIOCore
import Testing

@Suite("Names of requests (X-Request-Id)")
struct RequestNameTests {
    private static func builder(_ claims: ForwardingPolicy.ClientClaims, showing: Bool = false) throws -> RequestBuilder
    {
        var builder = try RequestBuilder(claims: claims)
        builder.policy.newRequestID = { (0x0123_4567_89ab_cdef, 0xf) }
        builder.policy.showsRequestID = showing
        return builder
    }

    private static let made = "0123456789abcdef000000000000000f"

    @Test("A client's own counts from trusted networks only")
    func trust() throws {
        let stranger = try Self.builder(.replace).sent("GET", "/", [("X-Request-ID", "mine")])
        #expect(stranger["x-request-id"] == [Self.made])
        let trusted = try Self.builder(.append).sent("GET", "/", [("X-Request-ID", "mine-1:2/a=@")])
        #expect(trusted["x-request-id"] == ["mine-1:2/a=@"])
        let none = try Self.builder(.append).sent("GET", "/")
        #expect(none["x-request-id"] == [Self.made])
    }

    @Test(
        "What is not one plain word is not taken",
        arguments: ["", "a b", "a\"b", "a,b", "ä", "<script>", String(repeating: "a", count: 129)])
    func wrong(value: String) throws {
        let request = try Self.builder(.append).sent("GET", "/", [("X-Request-Id", value)])
        #expect(request["x-request-id"] == [Self.made])
    }

    @Test("Two of them, or another spelling that gateways fold to it, do not get by")
    func spellings() throws {
        let two = try Self.builder(.append).sent("GET", "/", [("X-Request-Id", "a"), ("x-request-id", "b")])
        #expect(two["x-request-id"] == [Self.made])
        let folded = try Self.builder(.replace).sent("GET", "/", [("X_Request_Id", "a"), ("X-Request_ID", "b")])
        #expect(folded["x-request-id"] == [Self.made])
        #expect(folded["x_request_id"].isEmpty && folded["x-request_id"].isEmpty)
    }

    @Test("Where requests have no names, the field is one like others")
    func off() throws {
        let request = try RequestBuilder().sent("GET", "/", [("X-Request-Id", "mine")])
        #expect(request["x-request-id"] == ["mine"])
        #expect(request.request.name == nil)
    }

    @Test("A response that varies by it is selected by what the origin got")
    func selector() throws {
        let request = try Self.builder(.replace).sent("GET", "/", [("X-Request-Id", "mine")]).request
        var lines: [String] = []
        let name = try #require(FieldName("x-request-id"))
        request.forEachSelectorLine(name) { lines.append(String(decoding: $0, as: UTF8.self)) }
        #expect(lines == [Self.made])
    }

    @Test("The client is told where the site wants it, in the place of what the origin says")
    func shown() throws {
        for showing in [false, true] {
            let request = try Self.builder(.replace, showing: showing).sent("GET", "/").request
            var builder = FieldSectionBuilder()
            try builder.add(name: "X-Request-Id".utf8, value: "origin".utf8)
            try builder.add(.server, "o".utf8)
            var head = OutgoingHead(status: 200, fields: builder.section, framing: .length(0))
            head.name(request)
            var buffer = ByteBuffer()
            head.write(to: &buffer)
            let text = String(buffer: buffer)
            #expect(text.contains("X-Request-Id: \(showing ? Self.made : "origin")\r\n"))
            #expect(text.components(separatedBy: "X-Request-Id").count == 2)
            var values: [String] = []
            head.forEachField { name, value in
                if String(decoding: name, as: UTF8.self) == "X-Request-Id" {
                    values.append(String(decoding: value, as: UTF8.self))
                }
            }
            #expect(values == [showing ? Self.made : "origin"])
        }
    }
}
