/// A field name that has a number. The raw value is the name's place in the list of names, which is in alphabetical order; it
/// means nothing outside of one process.
public enum KnownField: UInt8, CaseIterable, Sendable {
    case accept, acceptCharset, acceptEncoding, acceptLanguage, acceptRanges, accessControlAllowOrigin
    case accessControlRequestHeaders, accessControlRequestMethod, age, allow, altSvc, authorization, cacheControl
    case cacheStatus, cacheTag, cdnCacheControl, cfConnectingIP, connection, contentDisposition, contentEncoding
    case contentLanguage, contentLength, contentLocation, contentRange, contentSecurityPolicy, contentType, cookie
    case date, earlyData, etag, expect, expires, forwarded, host, http2Settings, ifMatch, ifModifiedSince
    case ifNoneMatch, ifRange, ifUnmodifiedSince, keepAlive, lastModified, link, location, maxForwards, origin
    case pragma, priority, proxyAuthenticate, proxyAuthenticationInfo, proxyAuthorization, proxyConnection
    case proxyStatus, range, referer, referrerPolicy, retryAfter, rsc, secCHUA, secCHUAMobile, secCHUAPlatform
    case secFetchDest, secFetchMode, secFetchSite, secFetchUser, secWebSocketAccept, secWebSocketExtensions
    case secWebSocketKey, secWebSocketProtocol, secWebSocketVersion, server, serverTiming, setCookie
    case strictTransportSecurity, surrogateControl, surrogateKey, te, trailer, transferEncoding, trueClientIP
    case upgrade, upgradeInsecureRequests, userAgent, vary, via, warning, wwwAuthenticate, xContentTypeOptions
    case xForwardedFor, xForwardedHost, xForwardedPort, xForwardedProto, xFrameOptions, xHost, xHTTPHostOverride
    case xHTTPMethod, xHTTPMethodOverride, xMethodOverride, xMiddlewareSubrequest, xOriginalHost, xOriginalURL
    case xPoweredBy, xRealIP, xRequestedWith, xRewriteURL, xSSLClientVerify

    /// The name in its usual spelling: ASCII bytes that live as long as the process, 2...30 of them.
    public var name: UnsafeBufferPointer<UInt8> {
        let start = Self.names.utf8Start + Int(self.rawValue) * Self.stride
        var count = 0
        while count < Self.stride, start[count] != ByteClass.space { count += 1 }
        return UnsafeBufferPointer(start: start, count: count)
    }

    /// The field of this name, in any letter case; `nil` if it has no number.
    ///
    /// - Parameter range: where the name stands in `bytes`. It holds nothing but token characters.
    @inline(__always)
    package init?(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        let count = range.count
        guard count >= 2, count < Self.stride else { return nil }
        let slot = Self.slot(
            count: count, first: bytes[range.lowerBound], middle: bytes[range.lowerBound &+ count / 2],
            lastButOne: bytes[range.upperBound &- 2], last: bytes[range.upperBound &- 1])
        let number = Self.slots[slot]
        guard number != Self.noNumber else { return nil }
        let name = Self.names.utf8Start + Int(number) * Self.stride
        guard name[count] == ByteClass.space, Self.isSame(bytes, range, name) else { return nil }
        self.init(rawValue: number)
    }

    /// The field of this name, in any letter case; `nil` if it has no number, or is no name at all.
    public init?(_ name: some Collection<UInt8>) {
        guard name.count < Self.stride, name.allSatisfy(ByteClass.isToken) else { return nil }
        let found = name.withContiguousStorageIfAvailable { Self($0.span, 0..<$0.count) }
        if let found {
            guard let found else { return nil }
            self = found
        } else {
            let copy = ContiguousArray(name)
            self.init(copy.span, 0..<copy.count)
        }
    }

    /// The field of this name, in any letter case; `nil` if it has no number.
    ///
    /// - Parameter name: nothing but token characters.
    package init?(token name: UnsafeRawBufferPointer) {
        let found = name.withMemoryRebound(to: UInt8.self) { Self($0.span, 0..<$0.count) }
        guard let found else { return nil }
        self = found
    }

    /// Whether the bytes are a name's, apart from case. Among token characters, setting bit 5 folds letters and changes no
    /// other byte into a letter, a digit or a hyphen.
    @inline(__always)
    private static func isSame(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>, _ name: UnsafePointer<UInt8>)
        -> Bool
    {
        let words = bytes.bytes
        let expected = UnsafeRawPointer(name)
        if range.count >= 8 {
            var offset = 0
            while true {
                let one = words.unsafeLoadUnaligned(fromByteOffset: range.lowerBound &+ offset, as: UInt64.self)
                let other = expected.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                if (one | Self.folding) != (other | Self.folding) { return false }
                if offset == range.count &- 8 { return true }
                // The last step may look at some bytes again.
                offset = min(offset &+ 8, range.count &- 8)
            }
        }
        for offset in 0..<range.count where bytes[range.lowerBound &+ offset] | 0x20 != name[offset] | 0x20 {
            return false
        }
        return true
    }

    private static let folding: UInt64 = 0x2020_2020_2020_2020

    /// A perfect hash: no two names have the same slot.
    @inline(__always)
    private static func slot(count: Int, first: UInt8, middle: UInt8, lastButOne: UInt8, last: UInt8) -> Int {
        let bytes =
            UInt32(first) | UInt32(middle) << 8 | UInt32(lastButOne) << 16 | UInt32(last) << 24 | 0x2020_2020
        let mixed = (bytes ^ (UInt32(truncatingIfNeeded: count) &* 0x9E37_79B1)) &* Self.multiplier
        return Int(mixed >> 23)
    }

    private static let stride = 32
    private static let noNumber: UInt8 = 255
    private static let multiplier: UInt32 = 0xFC95_BDE1

    /// The names, each in 32 bytes with spaces behind it. A new one goes to its place in the alphabet, in the cases and here;
    /// a test of the hash then fails, and prints another multiplier and its slots.
    @inline(__always) private static var names: StaticString {
        """
        Accept                          \
        Accept-Charset                  \
        Accept-Encoding                 \
        Accept-Language                 \
        Accept-Ranges                   \
        Access-Control-Allow-Origin     \
        Access-Control-Request-Headers  \
        Access-Control-Request-Method   \
        Age                             \
        Allow                           \
        Alt-Svc                         \
        Authorization                   \
        Cache-Control                   \
        Cache-Status                    \
        Cache-Tag                       \
        CDN-Cache-Control               \
        CF-Connecting-IP                \
        Connection                      \
        Content-Disposition             \
        Content-Encoding                \
        Content-Language                \
        Content-Length                  \
        Content-Location                \
        Content-Range                   \
        Content-Security-Policy         \
        Content-Type                    \
        Cookie                          \
        Date                            \
        Early-Data                      \
        ETag                            \
        Expect                          \
        Expires                         \
        Forwarded                       \
        Host                            \
        HTTP2-Settings                  \
        If-Match                        \
        If-Modified-Since               \
        If-None-Match                   \
        If-Range                        \
        If-Unmodified-Since             \
        Keep-Alive                      \
        Last-Modified                   \
        Link                            \
        Location                        \
        Max-Forwards                    \
        Origin                          \
        Pragma                          \
        Priority                        \
        Proxy-Authenticate              \
        Proxy-Authentication-Info       \
        Proxy-Authorization             \
        Proxy-Connection                \
        Proxy-Status                    \
        Range                           \
        Referer                         \
        Referrer-Policy                 \
        Retry-After                     \
        RSC                             \
        Sec-CH-UA                       \
        Sec-CH-UA-Mobile                \
        Sec-CH-UA-Platform              \
        Sec-Fetch-Dest                  \
        Sec-Fetch-Mode                  \
        Sec-Fetch-Site                  \
        Sec-Fetch-User                  \
        Sec-WebSocket-Accept            \
        Sec-WebSocket-Extensions        \
        Sec-WebSocket-Key               \
        Sec-WebSocket-Protocol          \
        Sec-WebSocket-Version           \
        Server                          \
        Server-Timing                   \
        Set-Cookie                      \
        Strict-Transport-Security       \
        Surrogate-Control               \
        Surrogate-Key                   \
        TE                              \
        Trailer                         \
        Transfer-Encoding               \
        True-Client-IP                  \
        Upgrade                         \
        Upgrade-Insecure-Requests       \
        User-Agent                      \
        Vary                            \
        Via                             \
        Warning                         \
        WWW-Authenticate                \
        X-Content-Type-Options          \
        X-Forwarded-For                 \
        X-Forwarded-Host                \
        X-Forwarded-Port                \
        X-Forwarded-Proto               \
        X-Frame-Options                 \
        X-Host                          \
        X-HTTP-Host-Override            \
        X-HTTP-Method                   \
        X-HTTP-Method-Override          \
        X-Method-Override               \
        X-Middleware-Subrequest         \
        X-Original-Host                 \
        X-Original-URL                  \
        X-Powered-By                    \
        X-Real-IP                       \
        X-Requested-With                \
        X-Rewrite-URL                   \
        X-SSL-Client-Verify            \u{20}
        """
    }

    /// For each slot the number of its name, or 255.
    private static let slots: InlineArray<512, UInt8> = [
        255, 44, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 48, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 98, 255, 255, 255, 95, 255, 24, 92, 255, 255, 255, 255, 255, 255,
        255,
        255, 255, 255, 41, 27, 255, 255, 255, 255, 255, 255, 255, 255, 66, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 43, 255, 255, 255, 255, 255, 255, 255, 255, 255, 63, 1, 255, 255,
        255,
        255, 255, 90, 255, 86, 255, 255, 255, 255, 96, 46, 255, 255, 255, 255, 255, 255, 255, 255, 78, 255, 88, 255,
        255,
        255, 255, 255, 255, 255, 65, 255, 255, 255, 255, 255, 255, 255, 255, 255, 3, 255, 11, 255, 255, 54, 255, 255,
        255,
        255, 255, 255, 255, 35, 255, 255, 255, 255, 60, 255, 255, 255, 255, 255, 62, 255, 255, 30, 255, 255, 255, 255,
        255,
        255, 71, 12, 255, 255, 255, 255, 255, 255, 255, 255, 8, 255, 255, 255, 255, 255, 255, 255, 67, 255, 255, 255,
        255,
        255, 61, 255, 7, 255, 75, 255, 255, 255, 255, 69, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255,
        255, 255, 255, 255, 255, 74, 255, 255, 255, 255, 255, 6, 255, 255, 89, 105, 94, 255, 255, 255, 255, 255, 33,
        255,
        255, 255, 255, 255, 255, 47, 255, 255, 255, 255, 49, 255, 34, 255, 255, 79, 45, 255, 255, 29, 255, 18, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 56, 4, 255, 255, 255, 37, 255, 255, 255, 255, 39, 255, 255, 255, 255, 255,
        31,
        255, 255, 255, 255, 255, 255, 36, 255, 255, 255, 99, 20, 255, 255, 82, 255, 255, 19, 255, 255, 255, 255, 255,
        40,
        255, 87, 255, 9, 52, 255, 100, 255, 255, 255, 255, 255, 255, 255, 255, 58, 77, 55, 15, 255, 255, 255, 255, 255,
        255, 91, 255, 255, 255, 73, 255, 22, 50, 255, 255, 255, 255, 25, 255, 255, 5, 255, 255, 255, 255, 255, 255, 255,
        255, 102, 255, 255, 59, 255, 255, 255, 255, 255, 255, 68, 255, 255, 255, 255, 255, 255, 255, 255, 23, 255, 80,
        255,
        64, 51, 255, 255, 255, 32, 255, 255, 255, 255, 255, 255, 42, 255, 255, 255, 255, 255, 70, 255, 104, 13, 255,
        255,
        255, 255, 255, 103, 255, 255, 85, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 97, 255, 255, 57, 255, 255,
        255,
        255, 53, 255, 255, 255, 255, 255, 255, 255, 38, 255, 255, 26, 255, 255, 83, 28, 255, 255, 84, 14, 255, 255, 255,
        21, 255, 255, 255, 255, 255, 255, 0, 81, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 72,
        255,
        255, 255, 255, 17, 255, 255, 2, 76, 255, 10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 93, 255, 16, 255, 255,
        255, 255, 255, 101, 255, 255, 255, 255,
    ]
}
