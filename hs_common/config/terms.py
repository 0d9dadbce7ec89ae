"""What users have to accept: policies, and that they are no robots."""

from typing import Annotated

from hs_common.config.option import Secret, Section, describe


class Policy(Section, frozen=True, forbid_unknown_fields=True):
    """One document in one language. Several with one id are translations; their versions are the same."""

    id: Annotated[str, describe("Names the document for programs.", pattern=r"[a-z0-9_.-]{1,64}")]
    version: Annotated[str, describe("Its version; a new one is asked for anew.", pattern=r".{1,64}")]
    name: Annotated[str, describe("Its title.")]
    url: Annotated[str, describe("Where it can be read.", pattern=r"https?://.+")]
    language: Annotated[str, describe("Its language.", pattern=r"[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*")] = "en"


class Terms(Section, frozen=True):
    """Policies that new users accept when they register, and others before they send anything, if that is wished."""

    policies: Annotated[
        tuple[Policy, ...],
        describe('Such as [{ id = "privacy", version = "1", name = "Privacy policy", url = "https://…" }].'),
    ] = ()
    required: Annotated[
        bool,
        describe(
            "Whether users who have not accepted the present versions may only read, until they do on a page that "
            "their clients are told. Needs server.public_baseurl."
        ),
    ] = False


class Captcha(Section, frozen=True):
    """A captcha for new users: Google's reCAPTCHA 2, or what speaks like it. Without a key there is none."""

    public_key: Annotated[str, describe("The site key, which clients are told.", pattern=r"[!-~]*")] = ""
    private_key: Annotated[Secret, describe("The secret key, by which answers are checked.")] = Secret("")
    private_key_file: Annotated[str, describe("A file to read it from instead; relative to this file.")] = ""
    verify_url: Annotated[str, describe("Where answers are checked.", pattern=r"https?://.+")] = (
        "https://www.google.com/recaptcha/api/siteverify"
    )
    script_url: Annotated[str, describe("The script that shows the captcha.", pattern=r"https?://[!-~]+")] = (
        "https://www.google.com/recaptcha/api.js"
    )
    script_origins: Annotated[
        tuple[str, ...],
        describe(
            "From where the captcha loads more scripts and frames.",
        ),
    ] = (
        "https://www.google.com/recaptcha/",
        "https://www.gstatic.com/recaptcha/",
        "https://www.recaptcha.net/recaptcha/",
    )
