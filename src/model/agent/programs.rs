//! Programs that send over HTTP for themselves, or for somebody, and are no bots: libraries, tools, and the services that
//! send webhooks.

use super::{Named, version_behind};

/// What a user agent begins with, as it is shown.
const LIBRARIES: [&str; 81] = [
    "AHC",
    "aiohttp",
    "akka-http",
    "Alamofire",
    "anyevent-http",
    "Apache-HttpAsyncClient",
    "Apache-HttpClient",
    "Apache CXF",
    "AsyncHttpClient",
    "aws-sdk",
    "axios",
    "bun",
    "cpp-httplib",
    "curl",
    "Dart",
    "deno",
    "Elixir",
    "Faraday",
    "fasthttp",
    "Go-http-client",
    "go-resty",
    "Google-API-Java-Client",
    "google-api-go-client",
    "Google-Apps-Script",
    "Google-HTTP-Java-Client",
    "got",
    "grequests",
    "guzzle",
    "GuzzleHttp",
    "hackney",
    "http.rb",
    "HTTPClient",
    "HTTPie",
    "HTTPoison",
    "httpx",
    "hyper",
    "insomnia",
    "Jakarta Commons-HttpClient",
    "Java",
    "Java-http-client",
    "Jersey",
    "Jetty",
    "k6",
    "libcurl",
    "libwww-perl",
    "lua-resty-http",
    "LWP::Simple",
    "Mechanize",
    "Microsoft.Data.Mashup",
    "Microsoft-WinHttp",
    "needle",
    "node",
    "node-fetch",
    "node-superagent",
    "okhttp",
    "PECL::HTTP",
    "PHP",
    "PostmanRuntime",
    "PowerShell",
    "PycURL",
    "Python",
    "python-httpx",
    "python-requests",
    "Python-urllib",
    "python-urllib3",
    "ReactorNetty",
    "req",
    "reqwest",
    "rest-client",
    "RestSharp",
    "Ruby",
    "Swift",
    "Symfony HttpClient",
    "Typhoeus",
    "undici",
    "UnityPlayer",
    "ureq",
    "urllib3",
    "Wget",
    "WinHttp",
    "WordPress",
];

/// Likewise, of those who send webhooks. What calls itself a webhook or a hook is one of these by that.
const SERVICES: [&str; 47] = [
    "Adyen",
    "Amazon CloudFront",
    "Amazon Simple Notification Service Agent",
    "Amazon/EventBridge",
    "APIs-Google",
    "AppEngine-Google",
    "Asana",
    "Atlassian",
    "Bitbucket",
    "Braze",
    "Calendly",
    "Chargebee",
    "CloudPubSub-Google",
    "Customer.io",
    "DocuSign",
    "EventGrid",
    "GitHub-Hookshot",
    "GitLab",
    "Google-Cloud-Scheduler",
    "Google-Cloud-Tasks",
    "HubSpot Connect",
    "HubSpot Webhooks",
    "Integromat",
    "Intercom",
    "Klaviyo",
    "Mailchimp",
    "Mailgun",
    "Make",
    "Mollie",
    "n8n",
    "Paddle",
    "PayPal",
    "Pipedream",
    "SendGrid Event API",
    "SFDC-Callout",
    "Shopify",
    "Shopify-Captain-Hook",
    "Square Connect",
    "Stripe",
    "Svix-Webhooks",
    "Twilio",
    "TwilioProxy",
    "Typeform",
    "WooCommerce",
    "Zapier",
    "Zendesk",
    "Zoho",
];
const HOOKS: [&str; 2] = ["webhook", "hookshot"];

/// Languages, behind which a library names itself.
const LANGUAGES: [&str; 6] = ["Elixir", "Java", "node", "PHP", "Python", "Ruby"];

/// Words of bots, which a bot made with a library says, too.
const BOTS: [&str; 5] = ["bot", "crawl", "spider", "scrap", "monitor"];

/// What kind of program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Library,
    Service,
}

/// The program that sent it, if it is one of those above, and does not say that it is a bot.
pub fn program(user_agent: &str) -> Option<(Program, Named)> {
    let first = user_agent.strip_prefix("Mozilla/5.0 (compatible; ").unwrap_or(user_agent);
    let named = |names: &[&'static str], agent: &str| {
        let begins = names.iter().filter(|name| begins_with(agent, name));
        begins.max_by_key(|name| name.len()).copied()
    };
    if named(&LANGUAGES, first).is_some()
        && let Some((_, library)) = first.split_once(' ')
        && named(&LIBRARIES, library).is_some()
    {
        return program(library);
    }
    let (kind, name) = match (named(&SERVICES, first), named(&LIBRARIES, first)) {
        (Some(service), _) => (Program::Service, service.to_owned()),
        (None, Some(library)) => (Program::Library, library.to_owned()),
        (None, None) => {
            let lower = first.to_ascii_lowercase();
            HOOKS.iter().find(|hook| lower.contains(**hook))?;
            let name = &first[..first.find(['/', '(', ';', ',']).unwrap_or(first.len())];
            (Program::Service, name.trim().to_owned())
        }
    };
    let behind = first.get(name.len()..).unwrap_or_default().to_ascii_lowercase();
    // A sender's address may speak of robots; a bot says it of itself.
    let said = &behind[..behind.find("http").unwrap_or(behind.len())];
    if BOTS.iter().any(|word| said.contains(word)) {
        return None;
    }
    let version = version_behind(first, first.get(..name.len())?);
    Some((kind, Named { version: version.into(), name: name.into() }))
}

fn begins_with(user_agent: &str, name: &str) -> bool {
    let begins = user_agent.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    begins
        && !user_agent[name.len()..].starts_with(|next: char| next.is_alphanumeric() || matches!(next, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_services_are_told_by_what_they_say_first() {
        for (agent, found) in [
            ("python-requests/2.32.5", Some((Program::Library, "python-requests 2.32.5"))),
            ("Python/3.13 aiohttp/3.12.4", Some((Program::Library, "aiohttp 3.12.4"))),
            ("curl/8.14.1", Some((Program::Library, "curl 8.14.1"))),
            ("Java/21.0.4", Some((Program::Library, "Java 21.0.4"))),
            ("node", Some((Program::Library, "node "))),
            ("Stripe/1.0 (+https://stripe.com/docs/webhooks)", Some((Program::Service, "Stripe 1.0"))),
            (
                "HubSpot Webhooks (https://developers.hubspot.com/docs/webhooks)",
                Some((Program::Service, "HubSpot Webhooks ")),
            ),
            ("GitHub-Hookshot/044aadd", Some((Program::Service, "GitHub-Hookshot "))),
            ("Acme Webhooks/2.1 (+https://acme.example/bots)", Some((Program::Service, "Acme Webhooks 2.1"))),
            ("WooCommerce/9.1 Hookshot (WordPress/6.6)", Some((Program::Service, "WooCommerce 9.1"))),
            ("Go-http-client/1.1 (compatible; AcmeBot/1.0)", None),
            ("nodebot/1.0", None),
            ("Javascript/1", None),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", None),
            ("", None),
        ] {
            let told = program(agent).map(|(kind, Named { name, version })| (kind, format!("{name} {version}")));
            assert_eq!(told, found.map(|(kind, text)| (kind, text.to_owned())), "{agent}");
        }
    }
}
