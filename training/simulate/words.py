"""Words of the simulated platform in English and Chinese: topics, course titles, issuers, product kinds.

All names are invented. A topic exists in both domains: courses teach it, products invest in it or insure it,
so that what a user likes to learn says something about what a user likes to buy.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Topic:
    """One subject: its name, what a product of it is called, phrases for course titles, and tags."""

    name: str
    name_zh: str
    theme: str
    theme_zh: str
    phrases: tuple[tuple[str, str], ...]
    tags: tuple[str, ...]


TOPICS: Final = (
    Topic(
        "Index investing",
        "指数投资",
        "Broad Index",
        "宽基指数",
        (
            ("Index funds", "指数基金"),
            ("Tracking a market", "跟踪市场"),
            ("Regular saving plans", "基金定投"),
            ("Asset allocation", "资产配置"),
        ),
        ("index", "funds", "passive"),
    ),
    Topic(
        "Bonds and income",
        "债券与固收",
        "Steady Income",
        "稳健固收",
        (
            ("Bond basics", "债券基础"),
            ("Yield curves", "收益率曲线"),
            ("Credit ratings", "信用评级"),
            ("Fixed income portfolios", "固收组合"),
        ),
        ("bonds", "income", "credit"),
    ),
    Topic(
        "Retirement planning",
        "养老规划",
        "Retirement",
        "养老",
        (
            ("Planning for retirement", "退休规划"),
            ("Pension accounts", "养老金账户"),
            ("Living on savings", "储蓄养老"),
            ("Annuities explained", "年金详解"),
        ),
        ("retirement", "pension", "annuity"),
    ),
    Topic(
        "Family protection",
        "家庭保障",
        "Family Care",
        "家庭守护",
        (
            ("Insuring a family", "家庭保险配置"),
            ("Term life insurance", "定期寿险"),
            ("Household budgets", "家庭预算"),
            ("Emergency funds", "应急储备"),
        ),
        ("insurance", "family", "protection"),
    ),
    Topic(
        "Health",
        "健康管理",
        "Health",
        "健康",
        (
            ("Health insurance", "健康保险"),
            ("The medical industry", "医药行业"),
            ("Critical illness cover", "重疾险"),
            ("Healthy ageing", "健康养老"),
        ),
        ("health", "medicine", "illness"),
    ),
    Topic(
        "Artificial intelligence",
        "人工智能",
        "Artificial Intelligence",
        "人工智能",
        (
            ("Machine learning", "机器学习"),
            ("Neural networks", "神经网络"),
            ("AI at work", "人工智能办公"),
            ("The AI industry", "人工智能产业"),
        ),
        ("ai", "software", "data"),
    ),
    Topic(
        "Chips and hardware",
        "芯片与硬件",
        "Semiconductor",
        "半导体",
        (
            ("How chips are made", "芯片制造"),
            ("Hardware design", "硬件设计"),
            ("Supply chains", "供应链"),
            ("Robotics", "机器人"),
        ),
        ("chips", "hardware", "robots"),
    ),
    Topic(
        "Clean energy",
        "新能源",
        "Clean Energy",
        "新能源",
        (
            ("Solar power", "光伏"),
            ("Battery technology", "电池技术"),
            ("Electric vehicles", "电动汽车"),
            ("Carbon markets", "碳市场"),
        ),
        ("energy", "solar", "carbon"),
    ),
    Topic(
        "Consumer trends",
        "消费趋势",
        "Consumer",
        "消费",
        (
            ("Brand building", "品牌建设"),
            ("Retail analysis", "零售分析"),
            ("Consumer psychology", "消费心理"),
            ("Live commerce", "直播电商"),
        ),
        ("consumer", "brands", "retail"),
    ),
    Topic(
        "Property",
        "房地产",
        "Property",
        "不动产",
        (
            ("Buying a home", "买房指南"),
            ("Property trusts", "不动产信托"),
            ("Mortgages", "住房贷款"),
            ("Cities and land", "城市与土地"),
        ),
        ("property", "housing", "mortgage"),
    ),
    Topic(
        "Gold and commodities",
        "黄金与商品",
        "Gold and Commodities",
        "黄金商品",
        (
            ("Gold investing", "黄金投资"),
            ("Commodity cycles", "商品周期"),
            ("Oil markets", "原油市场"),
            ("Hedging inflation", "抵御通胀"),
        ),
        ("gold", "commodities", "inflation"),
    ),
    Topic(
        "Global markets",
        "全球市场",
        "Global Equity",
        "全球股票",
        (
            ("Investing abroad", "海外投资"),
            ("Exchange rates", "汇率"),
            ("Emerging markets", "新兴市场"),
            ("World economy", "世界经济"),
        ),
        ("global", "currency", "economy"),
    ),
    Topic(
        "Entrepreneurship",
        "创业",
        "Growth Enterprise",
        "成长企业",
        (
            ("Starting a business", "创办企业"),
            ("Reading accounts", "读懂财报"),
            ("Venture capital", "风险投资"),
            ("Small company stocks", "小盘股"),
        ),
        ("business", "startup", "accounting"),
    ),
    Topic(
        "Tax and inheritance",
        "税务与传承",
        "Heritage",
        "传承",
        (
            ("Personal tax", "个人税务"),
            ("Family trusts", "家族信托"),
            ("Wills and estates", "遗嘱与遗产"),
            ("Gifts between generations", "代际赠与"),
        ),
        ("tax", "trusts", "inheritance"),
    ),
    Topic(
        "Children's education",
        "子女教育",
        "Education",
        "教育",
        (
            ("Saving for school", "教育储蓄"),
            ("Money lessons for children", "儿童财商"),
            ("Choosing a university", "大学选择"),
            ("Parenting and study", "亲子学习"),
        ),
        ("education", "children", "savings"),
    ),
    Topic(
        "Quantitative trading",
        "量化交易",
        "Quantitative",
        "量化",
        (
            ("Trading systems", "交易系统"),
            ("Options pricing", "期权定价"),
            ("Statistics for markets", "市场统计"),
            ("Backtesting", "策略回测"),
        ),
        ("quant", "options", "statistics"),
    ),
)

COURSE_TITLES: Final = (
    ("{} from scratch", "{}入门"),
    ("{} step by step", "{}循序渐进"),
    ("Understanding {}", "读懂{}"),
    ("{} in practice", "{}实战"),
    ("Advanced {}", "{}进阶"),
    ("A short course in {}", "{}速成课"),
    ("{} for busy people", "写给忙碌者的{}"),
    ("{}: cases and mistakes", "{}案例与误区"),
    ("{}: questions and answers", "{}问答"),
    ("The history of {}", "{}简史"),
)

COURSE_TEXTS: Final = (
    "Learn {phrase} in {hours} hours: {tags}. {phrase_zh}课程，共{hours}课时。",
    "{hours} lessons on {phrase}, with exercises about {tags}. {phrase_zh}，含练习。",
    "What everybody should know about {phrase}; topics: {tags}. 人人都该了解的{phrase_zh}。",
)

SCHOOLS: Final = tuple(
    f"{name} {kind}"
    for name in ("Open Ledger", "Blue Lantern", "Paper Crane", "Ninth Bridge", "Quiet Harbour")
    for kind in ("Academy", "Institute", "Studio", "College")
)

ISSUERS: Final = tuple(
    (f"{name} {kind}", f"{name_zh}{kind_zh}", name, name_zh)
    for kind, kind_zh in (("Asset Management", "资管"), ("Trust", "信托"), ("Life", "人寿"))
    for name, name_zh in (
        ("Brightwater", "明水"),
        ("Stonepine", "石松"),
        ("Harvest Moon", "秋月"),
        ("Tall Reed", "长苇"),
        ("Northlight", "北光"),
        ("Silver Heron", "银鹭"),
        ("Cedar Gate", "雪松门"),
        ("Far Orchard", "远园"),
        ("Still River", "静河"),
        ("Amber Field", "琥珀原"),
        ("Lantern Hill", "灯山"),
        ("White Quay", "白埠"),
    )
)

PRODUCT_KINDS: Final = {
    "WEALTH": (("Wealth Plan", "理财计划"), ("Open Wealth Account", "开放式理财")),
    "FUND": (("Money Fund", "货币基金"), ("Bond Fund", "债券基金"), ("Mixed Fund", "混合基金")),
    "TRUST": (("Trust Plan", "信托计划"), ("Income Trust", "收益信托")),
    "STRUCTURED": (("Linked Note", "挂钩票据"), ("Structured Deposit", "结构性产品")),
    "INS_PROTECTION": (
        ("Term Life", "定期寿险"),
        ("Critical Illness Cover", "重大疾病保险"),
        ("Accident Cover", "意外伤害保险"),
    ),
    "INS_PAR_UL": (("Participating Annuity", "分红年金"), ("Universal Life", "万能寿险")),
    "INS_LINKED": (("Unit-Linked Life", "投资连结保险"), ("Linked Annuity", "投连年金")),
}
FUND_KINDS: Final = (
    ("Money Fund", "货币基金"),
    ("Bond Fund", "债券基金"),
    ("Mixed Fund", "混合基金"),
    ("Equity Fund", "股票基金"),
    ("Sector Equity Fund", "行业股票基金"),
)
