//! Which type of tax ID belongs to which country. Stripe takes any combination of the two, and prints
//! it on invoices that then cannot be used.

use crate::domain::profile::CompanyDetails;

/// Stripe's types (docs.stripe.com/billing/customer/tax-ids, API 2026-08-26). Each begins with its
/// country, except for those of the European Union.
const TYPES: &str = "ad_nrt ae_trn al_tin am_tin ao_tin ar_cuit au_abn au_arn aw_tin az_tin ba_tin bb_tin \
    bd_bin bf_ifu bg_uic bh_vat bj_ifu bo_tin br_cnpj br_cpf bs_tin by_tin ca_bn ca_gst_hst \
    ca_pst_bc ca_pst_mb ca_pst_sk ca_qst cd_nif ch_uid ch_vat cl_tin cm_niu cn_tin co_nit \
    cr_tin cv_nif de_stn do_rcn ec_ruc eg_tin es_cif et_tin eu_oss_vat eu_vat fo_vat gb_vat \
    ge_vat gi_tin gn_nif hk_br hr_oib hu_tin ic_nif id_npwp il_vat in_gst is_vat it_cf jp_cn \
    jp_rn jp_trn ke_pin kg_tin kh_tin kr_brn kz_bin la_tin li_uid li_vat lk_vat ma_vat \
    md_vat me_pib mk_vat mr_nif mx_rfc my_frp my_itn my_sst ng_tin no_vat no_voec np_pan \
    nz_gst om_vat pe_ruc ph_tin pl_nip py_ruc ro_tin rs_pib ru_inn ru_kpp sa_vat sg_gst \
    sg_uen si_tin sn_ninea sr_fin sv_nit th_vat tj_tin tr_tin tw_vat tz_vat ua_vat ug_tin \
    us_ein uy_ruc uz_tin uz_vat ve_rif vn_tin za_vat zm_tin zw_tin";
/// The members of the European Union.
const EU: &str = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK";
/// Countries that use a type of another country.
const ALSO_IN: [(&str, &str); 5] = [
    ("us_ein", "PR VI GU AS MP"),
    ("gb_vat", "IM"),
    ("ch_vat", "LI"),
    ("ch_uid", "LI"),
    // The Canary Islands are a part of Spain with a tax of their own.
    ("ic_nif", "ES"),
];
/// Types for companies of any country: the One-Stop-Shop of the European Union, and Norway's for
/// foreign sellers.
const ANYWHERE: [&str; 2] = ["eu_oss_vat", "no_voec"];

/// Why a tax ID is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaxIdError {
    #[error("tax_id.type: {kind:?} is not a type of tax ID. Use one such as eu_vat or us_ein")]
    UnknownType { kind: String },
    #[error("tax_id.type: {kind} does not fit an address in {country}. {fitting}")]
    OtherCountry { kind: String, country: String, fitting: String },
    #[error("tax_id.value: a number of type {kind} must begin with {prefix}")]
    Prefix { kind: String, prefix: String },
}

impl TaxIdError {
    /// The field of the request that is wrong.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            TaxIdError::UnknownType { .. } | TaxIdError::OtherCountry { .. } => "tax_id.type",
            TaxIdError::Prefix { .. } => "tax_id.value",
        }
    }
}

/// Checks that the tax ID fits the country of the address. Without an address only its form is
/// checked.
///
/// # Errors
/// [`TaxIdError`]
pub fn check(company: &CompanyDetails) -> Result<(), TaxIdError> {
    let Some(tax_id) = &company.tax_id else { return Ok(()) };
    let kind = tax_id.kind.as_str();
    if !has(TYPES, kind) {
        return Err(TaxIdError::UnknownType { kind: kind.to_owned() });
    }
    let country = company.address.as_ref().map(|address| address.country.as_str());
    if let Some(country) = country.filter(|country| !fits(kind, country)) {
        let fitting: Vec<&str> =
            TYPES.split_whitespace().filter(|kind| belongs(kind, country)).collect();
        let fitting = if fitting.is_empty() {
            "No type is known for it".to_owned()
        } else {
            format!("Use {}", fitting.join(" or "))
        };
        let (kind, country) = (kind.to_owned(), country.to_owned());
        return Err(TaxIdError::OtherCountry { kind, country, fitting });
    }
    check_prefix(kind, tax_id.value.as_str(), country)
}

/// The numbers of the European Union begin with the code of their country.
fn check_prefix(kind: &str, value: &str, country: Option<&str>) -> Result<(), TaxIdError> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_uppercase();
    let wrong =
        |prefix: &str| Err(TaxIdError::Prefix { kind: kind.to_owned(), prefix: prefix.to_owned() });
    match (kind, country.and_then(eu_prefix)) {
        ("eu_oss_vat", _) if !plain.starts_with("EU") => wrong("EU"),
        ("eu_vat", Some(prefix)) if !plain.starts_with(prefix) => wrong(prefix),
        ("eu_vat", None) => {
            let mut prefixes = EU.split_whitespace().chain(["GB"]).filter_map(eu_prefix);
            let has_prefix = prefixes.any(|prefix| plain.starts_with(prefix));
            if has_prefix { Ok(()) } else { wrong("the code of a member of the EU, such as DE") }
        }
        _ => Ok(()),
    }
}

fn fits(kind: &str, country: &str) -> bool {
    ANYWHERE.contains(&kind) || belongs(kind, country)
}

/// Whether a type is one of this country.
fn belongs(kind: &str, country: &str) -> bool {
    if kind == "eu_vat" {
        return eu_prefix(country).is_some();
    }
    let home = kind.split('_').next().unwrap_or_default();
    let is_also = |(other, countries): &(&str, &str)| *other == kind && has(countries, country);
    home.eq_ignore_ascii_case(country) || ALSO_IN.iter().any(is_also)
}

/// How VAT numbers of a country begin. None outside of the European Union.
fn eu_prefix(country: &str) -> Option<&str> {
    match country {
        "GR" => Some("EL"),
        // Northern Ireland is in the common market for goods.
        "GB" => Some("XI"),
        // Monaco's companies are registered in France.
        "MC" => Some("FR"),
        country => has(EU, country).then_some(country),
    }
}

fn has(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|one| one == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_of(country: Option<&str>, kind: &str, value: &str) -> Option<&'static str> {
        let address = country
            .map(|country| format!(r#"{{"line1":"1 Main St","country":"{country}"}}"#))
            .unwrap_or_else(|| "null".to_owned());
        let company =
            format!(r#"{{"address":{address},"tax_id":{{"type":"{kind}","value":"{value}"}}}}"#);
        let company: CompanyDetails = serde_json::from_str(&company).unwrap();
        check(&company).err().map(|error| error.field())
    }

    #[test]
    fn tax_id_fits_the_country_of_its_address() {
        let (kind, value) = (Some("tax_id.type"), Some("tax_id.value"));
        for (country, number, expected) in [
            (Some("DE"), ("eu_vat", "DE123456789"), None),
            (Some("DE"), ("eu_vat", "de 123 456 789"), None),
            (Some("DE"), ("de_stn", "1234567890"), None),
            (Some("DE"), ("eu_vat", "FR12345678901"), value),
            (Some("DE"), ("eu_vat", "123456789"), value),
            (Some("DE"), ("gb_vat", "GB123456789"), kind),
            (Some("GR"), ("eu_vat", "EL123456789"), None),
            (Some("GR"), ("eu_vat", "GR123456789"), value),
            (Some("MC"), ("eu_vat", "FR12345678901"), None),
            (Some("GB"), ("gb_vat", "GB123456789"), None),
            (Some("GB"), ("eu_vat", "XI123456789"), None),
            (Some("GB"), ("eu_vat", "DE123456789"), value),
            (Some("US"), ("us_ein", "12-3456789"), None),
            (Some("PR"), ("us_ein", "12-3456789"), None),
            (Some("US"), ("eu_vat", "DE123456789"), kind),
            (Some("US"), ("eu_oss_vat", "EU123456789"), None),
            (Some("US"), ("eu_oss_vat", "DE123456789"), value),
            (Some("CH"), ("ch_vat", "CHE-123.456.789 MWST"), None),
            (Some("LI"), ("ch_uid", "CHE-123.456.789"), None),
            (Some("DE"), ("moon_vat", "123456"), kind),
            (None, ("eu_vat", "DE123456789"), None),
            (None, ("eu_vat", "123"), value),
            (None, ("us_ein", "12-3456789"), None),
            (None, ("unknown", "123456"), kind),
        ] {
            assert_eq!(check_of(country, number.0, number.1), expected, "{country:?} {number:?}");
        }
    }

    #[test]
    fn refusal_names_what_fits() {
        let error = TaxIdError::OtherCountry {
            kind: "eu_vat".to_owned(),
            country: "US".to_owned(),
            fitting: "Use us_ein".to_owned(),
        };
        let company = r#"{"address":{"line1":"1 Main St","country":"US"},"tax_id":{"type":"eu_vat","value":"DE1"}}"#;
        assert_eq!(check(&serde_json::from_str(company).unwrap()), Err(error));
    }
}
