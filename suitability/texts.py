"""Holds what a user may be told about a reason code, in English and Chinese.

A text says what is so and never coaches: no level, limit or answer that would change the outcome is named.

Source: NFRA 13 for not coaching; the rules' section 4 for a hold that must not be tipped off.
"""

from collections.abc import Mapping
from types import MappingProxyType

USER_TEXTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "system_unavailable": (
            "Recommendations are not available at the moment.",
            "目前暂时无法提供推荐。",
        ),
        "product_unavailable": (
            "This product is not available at the moment.",
            "该产品目前不可提供。",
        ),
        "product_incomplete": (
            "Information about this product is incomplete, so it is not shown.",
            "该产品的信息不完整,因此不予展示。",
        ),
        "product_off_sale": ("This product is not on sale.", "该产品不在销售中。"),
        "product_channel": (
            "This product is not offered through this channel.",
            "该产品不通过本渠道提供。",
        ),
        "product_private": ("This product is not offered to the public.", "该产品不面向公众发行。"),
        "product_sold_out": ("This product has no quota left.", "该产品已无剩余额度。"),
        "user_unknown": ("Your profile was not found.", "未找到您的资料。"),
        "user_consent": (
            "You have not consented to the use of the information that this needs.",
            "您尚未同意使用此项服务所需的信息。",
        ),
        "user_profile": (
            "Your profile is incomplete or not up to date.",
            "您的资料不完整或未更新。",
        ),
        "user_capacity": (
            "This product cannot be offered on the basis of your legal capacity.",
            "依据您的民事行为能力情况,无法提供该产品。",
        ),
        "assessment_missing": (
            "You have no complete risk assessment on record.",
            "您没有完整的风险测评记录。",
        ),
        "assessment_expired": ("Your risk assessment has expired.", "您的风险测评已过期。"),
        "assessment_change": (
            "Your circumstances were reported as changed since your risk assessment.",
            "您在风险测评之后报告了情况变化。",
        ),
        "assessment_unconfirmed": (
            "The result of your latest risk assessment has not been confirmed.",
            "您最近一次风险测评的结果尚未确认。",
        ),
        "assessment_too_many": (
            "The permitted number of risk assessments has been exceeded.",
            "风险测评次数已超过规定。",
        ),
        "not_matching_risk": (
            "This product does not match your risk assessment.",
            "该产品与您的风险测评结果不匹配。",
        ),
        "not_offered": (
            "This product is not offered under the current rules.",
            "依据现行规则,不提供该产品。",
        ),
        "not_target_market": (
            "This product is not intended for clients of your kind.",
            "该产品的目标客户不包括您所属的客户类型。",
        ),
        "not_matching_knowledge": (
            "This product does not match your knowledge and experience on record.",
            "该产品与您记录中的知识和经验不匹配。",
        ),
        "not_matching_losses": (
            "This product does not match your capacity for losses on record.",
            "该产品与您记录中的损失承受能力不匹配。",
        ),
        # The product's limit may be the one that is missing, so the profile is not called incomplete.
        "losses_incomplete": (
            "Information about possible losses is incomplete, so this product is not shown.",
            "有关可能损失的信息不完整,因此不予展示。",
        ),
        "not_matching_horizon": (
            "This product does not match your investment horizon on record.",
            "该产品与您记录中的投资期限不匹配。",
        ),
        "not_matching_age": (
            "This product is not offered at your age.",
            "该产品不适用于您的年龄。",
        ),
        "not_matching_protection": (
            "This product is not recommended in your circumstances.",
            "依据您的情况,不推荐该产品。",
        ),
        "not_matching_place": (
            "This product is not offered where you are resident or taxed.",
            "该产品不在您的居住地或纳税地提供。",
        ),
        "not_matching_currency": (
            "This product is not offered in a currency of your profile.",
            "该产品的币种不在您资料所列的币种之内。",
        ),
        "not_matching_finances": (
            "This product does not match your financial situation on record.",
            "该产品与您记录中的财务状况不匹配。",
        ),
        "not_matching_credit": (
            "This product is not offered on the basis of your credit assessment on record.",
            "依据您记录中的信用评估结果,无法提供该产品。",
        ),
        "not_matching_objectives": (
            "This product does not match your objectives on record.",
            "该产品与您记录中的投资目标不匹配。",
        ),
        "not_matching_needs": (
            "This product does not match your insurance needs on record.",
            "该产品与您记录中的保险需求不匹配。",
        ),
        "needs_missing": (
            "You have no current statement of insurance needs on record.",
            "您没有有效的保险需求记录。",
        ),
        "needs_duplicate": (
            "You already hold cover of this kind.",
            "您已持有同类保障。",
        ),
    }
)
