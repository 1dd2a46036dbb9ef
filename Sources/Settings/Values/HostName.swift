internal import TLSWire

/// Host names as addresses and URLs have them: what a TLS server name may be, in lower case, without a trailing dot.
enum HostName {
    static func checked(_ text: String) throws(ServerNameError) -> String {
        try ServerName(text).rawValue
    }
}
