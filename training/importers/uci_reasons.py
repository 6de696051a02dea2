"""What a borrower may be told about a reason of the UCI risk models, in English and Chinese.

A text names what the assessment rests on and never coaches: no value, threshold or act that would change the
outcome is named. The model decides which reasons weigh most; `index/risk_model.py` says how.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REASON_TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "RSK_AGE": ("Your age.", "您的年龄。"),
        "RSK_AMOUNT_PAID": (
            "The amounts paid on your bills in recent months.",
            "您近几个月账单的还款金额。",
        ),
        "RSK_BALANCE": ("The amounts of your bills in recent months.", "您近几个月的账单金额。"),
        "RSK_CHECKING_ACCOUNT": ("The balance of your checking account.", "您的活期账户余额。"),
        "RSK_CREDIT_AMOUNT": ("The amount of the credit.", "贷款金额。"),
        "RSK_CREDIT_HISTORY": (
            "Your record of credits taken and how they were paid.",
            "您过往的信贷记录及还款情况。",
        ),
        "RSK_CREDIT_LIMIT": ("The credit limit you have been granted.", "您已获得的信用额度。"),
        "RSK_DEPENDANTS": ("The number of people whom you maintain.", "您赡养或抚养的人数。"),
        "RSK_DURATION": ("The duration of the credit.", "贷款期限。"),
        "RSK_EDUCATION": ("Your education on record.", "您记录中的教育程度。"),
        "RSK_EMPLOYMENT": ("The length of your present employment.", "您目前工作的年限。"),
        "RSK_FOREIGN_WORKER": ("Whether you are a foreign worker.", "您是否为外籍劳工。"),
        "RSK_GUARANTOR": ("Co-applicants and guarantors of the credit.", "共同申请人及担保人情况。"),
        "RSK_HOUSING": ("Your housing.", "您的住房情况。"),
        "RSK_INSTALMENT": (
            "The share of your disposable income that the instalments take.",
            "分期还款占您可支配收入的比例。",
        ),
        "RSK_JOB": ("Your occupation.", "您的职业。"),
        "RSK_MARRIAGE": ("Your marital status.", "您的婚姻状况。"),
        "RSK_OTHER_CREDIT": ("Your other credits and instalment plans.", "您的其他贷款和分期付款。"),
        "RSK_PAYMENT_DELAY": (
            "Late payments on your bills in recent months.",
            "您近几个月账单的逾期情况。",
        ),
        "RSK_PERSONAL_STATUS": ("Your personal status.", "您的个人状况。"),
        "RSK_PROPERTY": ("The property you own.", "您拥有的财产。"),
        "RSK_PURPOSE": ("The purpose of the credit.", "贷款用途。"),
        "RSK_RESIDENCE": ("The time at your present residence.", "您在现住址的居住时间。"),
        "RSK_SAVINGS": ("Your savings and bonds.", "您的储蓄和债券。"),
        "RSK_SEX": ("Your sex.", "您的性别。"),
        "RSK_TELEPHONE": ("Whether a telephone is registered to you.", "您是否登记有电话。"),
    }
)
